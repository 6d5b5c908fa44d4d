import type { EventLike } from "../events/event.ts";
import { finalizeRun } from "../events/lifecycle/finalize.ts";
import { OpenParts } from "../events/lifecycle/open-parts.ts";
import type { RunStoreErrorCode } from "../protocol/errors.ts";

/** A run that ended before its agent did. */
export interface InterruptedRun {
  readonly threadId: string;
  readonly runId: string;
  readonly epoch: number;
  /** What is stored of it, from its first event. */
  readonly events: readonly EventLike[];
}

/** What a run ends with that its agent did not end. */
export interface InterruptedEnd {
  readonly code: RunStoreErrorCode;
  readonly message: string;
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
   * The epoch under which the run is stored. Not its owner's, which may only have slept: the owner's late
   * writes must not find the run stored, but be refused. The next claim has a later one.
   */
  readonly epoch: number;
  /** The events that close the run, to be stored behind those that are there. */
  readonly closing: readonly EventLike[];
}

/** How an interrupted run ends. Null if it leaves nothing behind: then it never began for anybody. */
export function endInterrupted(run: InterruptedRun, end: InterruptedEnd): EndedRun | null {
  const { threadId, runId, epoch, events } = run;
  if (events.length === 0) return null;
  const parts = new OpenParts();
  for (const event of events) parts.observe(event);
  const closing = finalizeRun(parts, { threadId, runId, stopped: false, ...end });
  return { epoch: epoch + 1, closing };
}
