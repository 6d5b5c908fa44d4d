import { type ReactNode, useEffect, useState } from "react";
import { RELOADED } from "./controls.tsx";
import type { Failure, View } from "./conversation.ts";
import type { Watch } from "./use-server.ts";

interface Props {
  readonly view: View;
  readonly watch: Watch;
  readonly onAgain: () => void;
}

/** What has just happened to the server and the conversation, and what to do about it. */
export function Notices({ view, watch, onAgain }: Props) {
  const [wasReloaded, setReloaded] = useState(takeReloaded);
  const { isAnswering } = view;
  // Until the answer has ended that the reload was in the middle of.
  useEffect(() => () => setReloaded((before) => before && !isAnswering), [isAnswering]);
  return (
    <div className="notices" role="status">
      {notice(view, watch, wasReloaded, onAgain)}
    </div>
  );
}

function notice(view: View, watch: Watch, wasReloaded: boolean, onAgain: () => void): ReactNode {
  const { failure, isAnswering, unsent } = view;
  if (watch.isGone) {
    return <p className="warning">The server is gone. The page connects again when it is back.</p>;
  }
  if (unsent !== null) {
    return (
      <p className="warning">
        The server has not stored your message: it was cut off too early. Send it again.
      </p>
    );
  }
  if (failure !== null && !isAnswering) {
    return (
      <div className="warning">
        <p>{explained(failure)}</p>
        <button type="button" disabled={view.isStreaming} onClick={onAgain}>
          Answer again
        </button>
      </div>
    );
  }
  if (wasReloaded && isAnswering) {
    return <p>The page was reloaded. The answer went on meanwhile: nothing is missing.</p>;
  }
  return null;
}

function explained({ code, message }: Failure): string {
  if (code !== "RUN_INTERRUPTED") return `The answer ended early: ${message}`;
  return (
    "The server was killed during this answer. What it had said is kept. Send your next message, " +
    "or have the question answered again from the start."
  );
}

/** Whether the page before this one was reloaded by its button. Once. */
function takeReloaded(): boolean {
  const threadId = sessionStorage.getItem(RELOADED);
  sessionStorage.removeItem(RELOADED);
  return threadId !== null && threadId === new URLSearchParams(location.search).get("thread");
}
