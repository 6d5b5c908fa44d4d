import type { AppendOp, ConfirmOp, OpResult, ReleaseOp } from "../../src/protocol/messages.ts";
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
  if (op.input !== null) context.statements.insertSegment.run(op.runId, INPUT_SEQ, op.input);
  context.statements.insertSegment.run(op.runId, op.seq, op.events);
  return OK;
}

export function confirm(context: WriterContext, op: ConfirmOp): OpResult {
  return holdsLease(context, op) ? OK : answerWithoutLease(context, op);
}

/** Gives the thread back and forgets the run's journal. Releasing twice is releasing once. */
export function release(context: WriterContext, op: ReleaseOp): OpResult {
  if (holdsLease(context, op)) {
    if (op.segments > 0) dropJournal(context, op, hasNeighbours(context));
    context.statements.freeThread.run(Date.now(), op.threadId);
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
 * Deletes the journal of a run that has ended. If someone may be following it in another process,
 * its last segment is added instead, and all of it is kept for a while.
 */
export function dropJournal(context: WriterContext, end: LastSegment, isFollowed: boolean): void {
  const { statements } = context;
  if (!isFollowed) {
    statements.deleteJournal.run(end.runId);
    return;
  }
  if (end.events !== "[]") statements.insertSegment.run(end.runId, end.seq, end.events);
  statements.keepJournal.run(end.runId);
}

/** A run that was released gave back its id, too: another one may bear it. */
export function forgetKeptJournal({ statements }: WriterContext, runId: string): void {
  if (statements.forgetJournal.run(runId).changes > 0) statements.deleteJournal.run(runId);
}
