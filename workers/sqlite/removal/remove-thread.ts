import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { DeleteThreadRequest } from "../../../src/protocol/messages.ts";
import { isVisible } from "../../../src/protocol/scope.ts";
import { hasLiveOwner } from "../instances/ownership.ts";
import type { WriterContext } from "../runs/writer-context.ts";
import { giveLogsAway } from "./lending.ts";
import type { IsOver } from "./slices.ts";
import type { LendingStatements, RemovalStatements } from "./statements.ts";
import type { Counts } from "./tally.ts";
import { REMOVAL } from "./unfinished.ts";

/** Rows that one statement deletes at most. The time is checked between statements. */
export const ROWS = 16;

export interface RemovalContext extends WriterContext {
  readonly removal: RemovalStatements & LendingStatements;
}

export function threadNotFound(): RunStoreError {
  return new RunStoreError("THREAD_NOT_FOUND", "there is no such thread");
}

/**
 * Begins the removal of a thread: from here on it is unknown, and no run gets it until it is gone. A removal
 * that has begun before is not begun again.
 *
 * @throws {RunStoreError} `THREAD_NOT_FOUND`, `THREAD_ALREADY_RUNNING`
 */
export function beginRemoval(context: RemovalContext, request: DeleteThreadRequest): void {
  const { statements } = context;
  const { threadId, scope } = request;
  const unfinished = statements.unfinishedThread.get(threadId);
  if (unfinished !== undefined) {
    if (unfinished.is_fork === REMOVAL && isVisible(scope, unfinished.resource_id)) return;
    throw threadNotFound();
  }
  const resourceId = statements.resourceOfThread.get(threadId);
  if (resourceId === undefined || !isVisible(scope, resourceId)) throw threadNotFound();
  if (isRunning(context, request)) {
    throw new RunStoreError("THREAD_ALREADY_RUNNING", "a run holds the thread");
  }
  markRemoved(context, threadId, resourceId);
}

/** Whether a live run holds the thread. */
export function isRunning(
  context: RemovalContext,
  { threadId, endedClaims }: DeleteThreadRequest,
): boolean {
  const state = context.statements.stateOfThread.get(threadId);
  if (!hasLiveOwner(context, state)) return false;
  const isOwn = state.owner_id === context.config.instanceId;
  return !isOwn || (state.claim_number ?? 0) > endedClaims;
}

/**
 * Takes from a thread all by which it is found and written to. Its runs, messages and values are deleted
 * later: see `continueRemoval`. Journals of its ended runs are deleted in their time, like all journals:
 * clients may follow them to the end.
 */
export function markRemoved(
  context: RemovalContext,
  threadId: string,
  resourceId: string | null,
): void {
  const { statements, removal, journals, messages, config } = context;
  const state = statements.stateOfThread.get(threadId);
  const stored = statements.lastEpochOfThread.get(threadId) ?? 0;
  removal.raiseRemovedEpoch.run(Math.max(state?.epoch ?? 0, stored) + 1);
  if (state?.is_running === 1 && state.epoch !== null) {
    // The run executes no more. If it was a run of this instance, this instance deletes its journal.
    journals.load();
    journals.addDead(journals.take({ threadId, epoch: state.epoch }));
  }
  const upTo = removal.lastRowOfThread.get(threadId) ?? 0;
  removal.insertUnfinished.run(threadId, resourceId, upTo, REMOVAL, config.instanceId);
  removal.deleteThread.run(threadId);
  removal.deleteState.run(threadId);
  removal.deleteViews.run(threadId);
  giveLogsAway(removal, threadId);
  messages.forget(threadId);
}

/** Deletes what is left of a thread, as far as the time goes. Returns whether the removal is over. */
export function continueRemoval(
  context: RemovalContext,
  threadId: string,
  isOver: IsOver,
  tally: Counts = { threads: 0, runs: 0, bytes: 0 },
): boolean {
  const { statements, removal } = context;
  const unfinished = statements.unfinishedThread.get(threadId);
  // Another instance may have carried on, and be done.
  if (unfinished === undefined || unfinished.is_fork !== REMOVAL) return true;
  const steps = [
    () => count(tally, removal.deleteRuns.all(threadId, unfinished.up_to, ROWS)),
    () => removal.deleteMessages.run(threadId, threadId, ROWS).changes,
  ];
  if (!doAll(steps, isOver) || !deleteValues(context, threadId, isOver, tally)) return false;
  removal.endUnfinished.run(threadId);
  return true;
}

/** Deletes the logs of a thread that has no runs, as far as the time goes. Returns whether they are deleted. */
export function deleteValues(
  { removal }: RemovalContext,
  threadId: string,
  isOver: IsOver,
  tally: Counts = { threads: 0, runs: 0, bytes: 0 },
): boolean {
  const steps = [
    () => countBytes(tally, removal.deleteValues.all(threadId, ROWS)),
    () => removal.deleteLogs.run(threadId, ROWS).changes,
  ];
  return doAll(steps, isOver);
}

/** Repeats each step until it deletes fewer than `ROWS` rows. Returns false if the time was over before. */
function doAll(steps: readonly (() => number)[], isOver: IsOver): boolean {
  for (const step of steps) {
    while (step() === ROWS) if (isOver()) return false;
  }
  return true;
}

/** Counts runs that were deleted, by their bytes. Returns how many there were. */
export function count(tally: Counts, runs: readonly number[]): number {
  tally.runs += runs.length;
  return countBytes(tally, runs);
}

function countBytes(tally: Counts, rows: readonly number[]): number {
  for (const bytes of rows) tally.bytes += bytes;
  return rows.length;
}
