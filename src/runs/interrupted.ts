import type { EventLike } from "../events/event.ts";
import { finalizeRun } from "../events/lifecycle/finalize.ts";
import { OpenParts } from "../events/lifecycle/open-parts.ts";
import type { RunStoreErrorCode } from "../protocol/errors.ts";

/** A run that ended before its agent did. */
export interface InterruptedRun {
  readonly threadId: string;
  readonly runId: string;
  readonly epoch: number;
  /** The stored events of the run, from the first. */
  readonly events: Iterable<EventLike>;
}

/** The error that closes a run which its agent did not end. */
export interface InterruptedEnd {
  readonly code: RunStoreErrorCode;
  readonly message: string;
  /** The text of an assistant message before the error, or false for none. */
  readonly note?: string | false | undefined;
}

export const OWNER_DIED: InterruptedEnd = {
  code: "RUN_INTERRUPTED",
  message: "The process that executed this run ended before the run did",
};

export const REST_UNSTORED: InterruptedEnd = {
  code: "PERSISTENCE_FAILED",
  message: "The rest of this run could not be stored",
};

export interface EndedRun {
  /**
   * The epoch under which the run is stored, one higher than the epoch of its owner. The owner may only
   * have been suspended: its late writes must be refused, and must not find their run stored. The next
   * claim gets a higher epoch.
   */
  readonly epoch: number;
  /** The events that close the run, to be stored after its other events. */
  readonly closing: readonly EventLike[];
}

/** How an interrupted run ends. Null for a run without stored events: no client has seen any of it. */
export function endInterrupted(run: InterruptedRun, end: InterruptedEnd): EndedRun | null {
  const { threadId, runId, epoch, events } = run;
  const parts = new OpenParts();
  let isEmpty = true;
  for (const event of events) {
    parts.observe(event);
    isEmpty = false;
  }
  if (isEmpty) return null;
  const { code, message, note: content } = end;
  // The epoch is the run's alone in its thread: its run id may come again.
  const note = content ? { messageId: `interrupted-${epoch}`, content } : undefined;
  const closing = finalizeRun(parts, { threadId, runId, stopped: false, code, message, note });
  return { epoch: epoch + 1, closing };
}
