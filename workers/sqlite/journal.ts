import type { AppendOp, ConfirmOp, OpResult, ReleaseOp } from "../../src/protocol/messages.ts";
import { expectChange } from "./fault.ts";
import { hasNeighbours } from "./instances.ts";
import type { WriterContext } from "./writer-context.ts";

/** The seq under which a run's input stands in its journal, before all events. */
export const INPUT_SEQ = -1;

/** One object for all that went well: the copy to the main thread writes it once a batch. */
export const OK: OpResult = { ok: true };

const LEASE_LOST: OpResult = {
  ok: false,
  fault: {
    code: "LEASE_LOST",
    message: "the thread is not held by this run any more",
  },
};

interface Lease {
  readonly threadId: string;
  readonly runId: string;
  readonly epoch: number;
}

/** True while the thread belongs to this run of this epoch: the check before every write. */
function holdsLease(context: WriterContext, lease: Lease): boolean {
  const { threadId, runId, epoch } = lease;
  return context.statements.isHeldBy.get(threadId, runId, epoch) !== undefined;
}

/** True when this very run was stored before: the batch is being sent again. */
function wasStored(context: WriterContext, lease: Lease): boolean {
  const stored = context.statements.storedRunEpoch.get(lease.runId);
  return stored?.thread_id === lease.threadId && stored.epoch === lease.epoch;
}

/** The answer to a write of a run that does not hold its thread. */
export function answerWithoutLease(context: WriterContext, lease: Lease): OpResult {
  return wasStored(context, lease) ? OK : LEASE_LOST;
}

export function append(context: WriterContext, op: AppendOp): OpResult {
  if (!holdsLease(context, op)) return answerWithoutLease(context, op);
  if (op.input !== null) context.journals.append(op.runId, INPUT_SEQ, op.input);
  context.journals.append(op.runId, op.seq, op.events);
  return OK;
}

export function confirm(context: WriterContext, op: ConfirmOp): OpResult {
  return holdsLease(context, op) ? OK : answerWithoutLease(context, op);
}

/** Gives the thread back and forgets the run's journal. Releasing twice is releasing once. */
export function release(context: WriterContext, op: ReleaseOp): OpResult {
  if (holdsLease(context, op)) {
    if (op.segments > 0) {
      const ids = context.journals.take(op.runId);
      if (hasNeighbours(context)) keepJournal(context, op, ids);
      // Now and not later: the id is given back with the thread, and another run may bear it.
      else deleteSegments(context, ids);
    }
    expectChange(context.statements.freeThread.run(Date.now(), op.threadId), "the end of a run");
  }
  return OK;
}

/** The segment with which a run ended that was never journaled. */
interface LastSegment {
  readonly runId: string;
  readonly seq: number;
  readonly events: string;
}

/**
 * Keeps the journal of a run that has ended for those who may be following it in other processes,
 * with its last segment.
 */
export function keepJournal(
  { statements }: WriterContext,
  { runId, seq, events }: LastSegment,
  segmentIds: readonly number[],
): void {
  const ids = [...segmentIds];
  if (events !== "[]") {
    const inserted = statements.insertSegment.run(runId, seq, events);
    expectChange(inserted, "the last segment of a journal");
    ids.push(Number(inserted.lastInsertRowid));
  }
  statements.keepJournal.run(runId, JSON.stringify(ids));
}

/** Deletes a journal that was kept, if there is one of this run. */
export function forgetKeptJournal({ statements }: WriterContext, runId: string): void {
  const ids = statements.forgetJournal.get(runId);
  if (ids !== undefined) statements.deleteSegments.run(ids);
}

export function deleteSegments({ statements }: WriterContext, ids: readonly number[]): void {
  if (ids.length > 0) statements.deleteSegments.run(JSON.stringify(ids));
}
