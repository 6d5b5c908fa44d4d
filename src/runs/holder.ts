import type { HeldThread } from "../protocol/holders.ts";
import type { HistoryPageMessage, HoldingRun, StopOp } from "../protocol/messages.ts";

/** Stands for the missing epoch of a run of a version 1 runner. Epochs of claims count from 1. */
export const VERSION_1_EPOCH = 0;

/** What a run that holds a thread is asked, as it is stored: it has to stop, and is stored. */
export const STOP = 1;
/** It has to stop, and nothing of it is stored. */
export const STOP_AND_DISCARD = 2;

/** What is asked of a run, by the number that is stored: `HeldThread.stop`. */
export function stopOf(stored: number | null): HeldThread["stop"] {
  if (stored === STOP_AND_DISCARD) return "discard";
  return stored === STOP ? "asked" : "none";
}

/** The claim that holds a thread. */
export interface ThreadHolder {
  /** Null where it was not noted. */
  readonly runId: string | null;
  /** The instance that made the claim. Null for a version 1 runner, which has no instance. */
  readonly ownerId: string | null;
  /** The number of the claim, unique for its instance. Null where it was not noted. */
  readonly claimNumber: number | null;
  readonly epoch: number | null;
  /** Whether the owner may still be executing the run: see liveness.ts. */
  readonly isAlive: boolean;
}

/** The run that holds a thread as readers of the instance `instanceId` see it, if its owner is alive. */
export function liveRunOf(holder: ThreadHolder | null, instanceId: string): HoldingRun | null {
  if (holder === null || holder.runId === null || !holder.isAlive) return null;
  const { runId, ownerId, claimNumber, epoch } = holder;
  const ownClaim = ownerId === instanceId ? claimNumber : null;
  return { runId, epoch: epoch ?? VERSION_1_EPOCH, ownClaim };
}

/** What the first page of a history says of its thread. `lastEpoch` is 0 for a thread without claims. */
export function threadNow(
  holder: ThreadHolder | null,
  lastEpoch: number,
  instanceId: string,
): Pick<HistoryPageMessage, "live" | "endedUpTo"> {
  const endedUpTo = holder === null ? lastEpoch : Math.max(0, lastEpoch - 1);
  return { live: liveRunOf(holder, instanceId), endedUpTo };
}

/** Whether the instance `instanceId` may ask the run that holds a thread to stop, as `op` wants. */
export function isStoppable(
  holder: ThreadHolder | null,
  op: Pick<StopOp, "runId" | "epoch">,
  instanceId: string,
): boolean {
  // A version 1 runner gets no requests. An instance stops its own runs without any.
  if (holder === null || holder.ownerId === null || holder.ownerId === instanceId) return false;
  const isMeant =
    (op.runId === null || op.runId === holder.runId) &&
    (op.epoch === null || op.epoch === holder.epoch);
  return holder.isAlive && isMeant;
}
