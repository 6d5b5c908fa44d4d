import { type EventLike, NO_TERMINAL } from "../event.ts";
import type { OpenParts } from "./open-parts.ts";

/** The terminal event of a run whose agent emitted none. */
export const incompleteStream = {
  type: "RUN_ERROR",
  message: NO_TERMINAL,
  code: "INCOMPLETE_STREAM",
} as const satisfies EventLike;

export interface RunEnd {
  readonly threadId: string;
  readonly runId: string;
  /** Whether the run ended because it was told to stop. */
  readonly stopped: boolean;
  /** The message of the RUN_ERROR, and of the results that open tool calls get. */
  readonly message?: string | undefined;
  readonly code?: string | undefined;
  /** An assistant message that is added before the terminal event. */
  readonly note?: { readonly messageId: string; readonly content: string } | undefined;
}

/**
 * The events that an ended run still lacks: the ends of its open parts, and a terminal event. Empty if
 * the run has a terminal event. `parts` must have observed the whole run. It observes the returned end
 * too.
 */
export function finalizeRun(parts: OpenParts, run: RunEnd): EventLike[] {
  if (parts.ended) return [];
  const outcome = run.stopped ? "stopped" : "failed";
  const events = parts.close({ outcome, message: run.message, pendingResults: true });
  const terminal = run.stopped
    ? { type: "RUN_FINISHED", threadId: run.threadId, runId: run.runId }
    : {
        type: "RUN_ERROR",
        message: run.message || incompleteStream.message,
        code: run.code ?? incompleteStream.code,
      };
  parts.observe(terminal);
  if (run.note !== undefined) events.push(...messageOf(run.note));
  events.push(terminal);
  return events;
}

function messageOf({ messageId, content }: NonNullable<RunEnd["note"]>): readonly EventLike[] {
  return [
    { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
    { type: "TEXT_MESSAGE_CONTENT", messageId, delta: content },
    { type: "TEXT_MESSAGE_END", messageId },
  ];
}
