import { type EventLike, NO_TERMINAL } from "../event.ts";
import type { OpenParts } from "./open-parts.ts";

/** The terminal event of a run that has none of its own. */
export const incompleteStream = {
  type: "RUN_ERROR",
  message: NO_TERMINAL,
  code: "INCOMPLETE_STREAM",
} as const satisfies EventLike;

export interface RunEnd {
  readonly threadId: string;
  readonly runId: string;
  /** The run ended because it was asked to. */
  readonly stopped: boolean;
  readonly message?: string | undefined;
  readonly code?: string | undefined;
}

/**
 * What a run that ended by itself still lacks: closers for its open parts and a terminal event.
 * Empty if it has its terminal event. `parts` has seen the whole run, and has ended after this.
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
  events.push(terminal);
  return events;
}
