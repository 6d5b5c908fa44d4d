import type { AppendOp, ConfirmOp, OpResult, ReleaseOp } from "../../../src/protocol/messages.ts";
import type { RunKey } from "../../../src/protocol/run-key.ts";
import { expectChange } from "../database/fault.ts";
import { hasOtherInstances } from "../instances/instances.ts";
import { INPUT_SEQ } from "./read-journal.ts";
import { findStoredRun } from "./stored-runs.ts";
import type { WriterContext } from "./writer-context.ts";

/** One object for all that went well: the copy to the main thread writes it once a batch. */
export const OK: OpResult = { ok: true };

const LEASE_LOST: OpResult = {
  ok: false,
  fault: {
    code: "LEASE_LOST",
    message: "the thread is not held by this run any more",
  },
};

/** True while the thread belongs to this run: the check before every write. */
export function holdsLease(
  { statements, config }: WriterContext,
  { threadId, epoch }: RunKey,
): boolean {
  return statements.isHeldBy.get(threadId, epoch, config.instanceId) !== undefined;
}

/**
 * Frees the thread if this run holds it. `changes` tells whether it did.
 */
export function freeThread(
  { statements, config }: WriterContext,
  { threadId, epoch }: RunKey,
  now: number,
): { readonly changes: number } {
  return statements.freeThreadHeldBy.run(now, threadId, epoch, config.instanceId);
}

/** The answer to a write of a run that does not hold its thread, if only because it was stored. */
export function answerWithoutLease(
  { statements }: WriterContext,
  run: RunKey & { readonly runId?: string },
): OpResult {
  // Then its batch is being sent again.
  return findStoredRun(statements, run) !== undefined ? OK : LEASE_LOST;
}

export function append(context: WriterContext, op: AppendOp): OpResult {
  if (!holdsLease(context, op)) return answerWithoutLease(context, op);
  if (op.input !== null) context.journals.append(op, INPUT_SEQ, op.input);
  context.journals.append(op, op.seq, op.events);
  return OK;
}

export function confirm(context: WriterContext, op: ConfirmOp): OpResult {
  return holdsLease(context, op) ? OK : answerWithoutLease(context, op);
}

/** Gives the thread back and forgets the run's journal. Releasing twice is releasing once. */
export function release(context: WriterContext, op: ReleaseOp): OpResult {
  if (holdsLease(context, op)) {
    if (op.segments > 0) {
      const ids = context.journals.take(op);
      if (hasOtherInstances(context)) retainJournal(context, op, ids);
      else context.journals.bury(ids);
    }
    expectChange(freeThread(context, op, Date.now()), "the end of a run");
  }
  return OK;
}

/** The segment with which a run ended that was never journaled. */
interface LastSegment extends RunKey {
  readonly seq: number;
  readonly events: string;
}

/**
 * Keeps the journal of a run that has ended for those who may be following it in other processes,
 * with its last segment.
 */
export function retainJournal(
  { statements }: WriterContext,
  { threadId, epoch, seq, events }: LastSegment,
  segmentIds: readonly number[],
): void {
  const ids = [...segmentIds];
  if (events !== "[]") {
    const inserted = statements.insertSegment.run(threadId, epoch, seq, events);
    // Those who follow the run need it, and nobody was told that it is stored.
    if (inserted.changes > 0) ids.push(Number(inserted.lastInsertRowid));
  }
  statements.retainJournal.run(threadId, epoch, JSON.stringify(ids));
}

export function deleteSegments({ statements }: WriterContext, ids: readonly number[]): void {
  if (ids.length > 0) statements.deleteSegments.run(JSON.stringify(ids));
}
