import { useState } from "react";
import type { Conversation, View } from "./conversation.ts";

/** The agent answers it at length, so that there is time to break something. */
const LONG_QUESTION = "Tell me everything you know about this server.";
const LOCAL_NAMES = ["localhost", "127.0.0.1", "[::1]"];
/** Where the page before a reload leaves a word for the page after it. */
export const RELOADED = "reloaded";

interface Props {
  readonly conversation: Conversation;
  readonly view: View;
  readonly isGone: boolean;
  readonly onSend: (text: string) => Promise<void>;
}

/** The three things to break. Each of them first asks a long question, unless an answer is under way. */
export function Controls({ conversation, view, isGone, onSend }: Props) {
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  // The server refuses all others.
  if (!LOCAL_NAMES.includes(location.hostname)) return null;

  const untilMiddle = () => {
    if (!view.isAnswering) void onSend(LONG_QUESTION);
    return conversation.untilMiddle();
  };
  const run = (action: () => Promise<void>) => async () => {
    setBusy(true);
    setProblem(null);
    try {
      await action();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
    setBusy(false);
  };

  const reload = async () => {
    await untilMiddle();
    sessionStorage.setItem(RELOADED, conversation.threadId);
    location.reload();
  };
  const kill = async () => {
    await untilMiddle();
    // A server that is killed does not answer.
    await fetch("/demo/kill", { method: "POST" }).catch(() => undefined);
  };
  const openElsewhere = async () => {
    // Browsers let a page open a tab only in the moment of a click.
    const tab = window.open("", "_blank");
    try {
      const port = await startOtherServer();
      if (!view.isAnswering) void onSend(LONG_QUESTION);
      const url = `http://${location.hostname}:${port}/?${new URLSearchParams({ thread: conversation.threadId })}`;
      if (tab === null) throw new Error(`The browser opened no tab. Open ${url}`);
      tab.opener = null;
      tab.location.href = url;
    } catch (error) {
      tab?.close();
      throw error;
    }
  };

  const isOff = isBusy || isGone || (view.isStreaming && !view.isAnswering);
  return (
    <section className="controls" aria-label="Break it">
      <button type="button" disabled={isOff} onClick={run(reload)}>
        <strong>Reload in mid-answer</strong>
        <span>The answer goes on meanwhile.</span>
      </button>
      <button type="button" disabled={isOff} onClick={run(kill)}>
        <strong>Kill the server</strong>
        <span>It restarts and has your thread.</span>
      </button>
      <button type="button" disabled={isOff} onClick={run(openElsewhere)}>
        <strong>Open in a second server</strong>
        <span>It follows the live answer.</span>
      </button>
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
    </section>
  );
}

/** The port of another server on the same database, which is started if there is none yet. */
async function startOtherServer(): Promise<number> {
  const response = await fetch("/demo/other-server", { method: "POST" });
  if (!response.ok) throw new Error(`No second server: ${await response.text()}`);
  const { port } = (await response.json()) as { readonly port: number };
  return port;
}
