import type { AppendOp, OpResult, ReleaseOp } from "../../src/protocol/messages.ts";
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

/** Gives the thread back and forgets the run's journal. Releasing twice is releasing once. */
export function release(context: WriterContext, op: ReleaseOp): OpResult {
  if (holdsLease(context, op)) {
    context.statements.deleteJournal.run(op.runId);
    context.statements.freeThread.run(Date.now(), op.threadId);
  }
  return OK;
}
