import { useEffect, useState } from "react";
import type { Conversation } from "./conversation.ts";

const ASK_EVERY_MS = 1000;
const ASK_AGAIN_MS = 300;

/** The process that serves the page. */
export interface Server {
  readonly pid: number;
  readonly port: number;
}

export interface Watch {
  /** The process that answered last, or null before the first answer. */
  readonly server: Server | null;
  readonly isGone: boolean;
}

/**
 * Asks the server once a second who it is. Connects the conversation again when the server is back, when the
 * stream was cut, and when a run was started on the thread elsewhere: in another tab, or by another process.
 */
export function useServer(conversation: Conversation): Watch {
  const [watch, setWatch] = useState<Watch>({ server: null, isGone: false });

  useEffect(() => {
    let timer: number | undefined;
    const ending = new AbortController();
    const ask = async () => {
      const status = await statusOf(conversation.threadId, ending.signal);
      if (ending.signal.aborted) return;
      setWatch((before) => after(before, status));
      // Not those of the view: right after a message was sent, the view does not have its stream yet.
      const { isCut, isStreaming } = conversation;
      if (status !== null && (isCut || (status.isRunning && !isStreaming))) {
        void conversation.connect();
      }
      timer = window.setTimeout(ask, status === null ? ASK_AGAIN_MS : ASK_EVERY_MS);
    };
    void ask();
    // A cut stream is noticed first.
    const unsubscribe = conversation.subscribe(() => {
      if (conversation.view.isCut) setWatch((before) => ({ ...before, isGone: true }));
    });
    return () => {
      ending.abort();
      clearTimeout(timer);
      unsubscribe();
    };
  }, [conversation]);

  return watch;
}

type Status = Server & { readonly isRunning: boolean };

async function statusOf(threadId: string, signal: AbortSignal): Promise<Status | null> {
  try {
    const query = new URLSearchParams({ thread: threadId });
    const timeout = AbortSignal.any([signal, AbortSignal.timeout(5000)]);
    const response = await fetch(`/demo/status?${query}`, { signal: timeout });
    return response.ok ? ((await response.json()) as Status) : null;
  } catch {
    return null;
  }
}

function after(before: Watch, status: Status | null): Watch {
  if (status === null) return before.isGone ? before : { ...before, isGone: true };
  const { pid, port } = status;
  const isSame = before.server?.pid === pid && !before.isGone;
  return isSame ? before : { server: { pid, port }, isGone: false };
}
