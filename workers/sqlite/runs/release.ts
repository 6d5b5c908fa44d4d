import type { GiveUpOp, OpResult, ReleaseOp, WithdrawOp } from "../../../src/protocol/messages.ts";
import type { RunKey } from "../../../src/protocol/run-key.ts";
import { OK } from "../../../src/runs/answers.ts";
import { REST_UNSTORED } from "../../../src/runs/interrupted.ts";
import { expectChange } from "../database/fault.ts";
import { deleteSegments, dropStart, endJournal } from "./journal.ts";
import { freeThread, holdsLease } from "./lease.ts";
import { forgetIfEmpty, recoverRun } from "./recover.ts";
import type { WriterContext } from "./writer-context.ts";

/** Frees the thread and forgets the run. A release that is sent again does nothing. */
export function release(context: WriterContext, op: ReleaseOp): OpResult<"release"> {
  context.longRuns.take(op);
  if (!holdsLease(context, op)) return OK;
  if (op.segments > 0) endJournal(context, op, context.journals.take(op));
  else dropStart(context, op);
  free(context, op);
  return OK;
}

/** Frees the thread if the given claim of this instance holds it. No agent has begun to execute. */
export function withdraw(
  context: WriterContext,
  { threadId, number }: WithdrawOp,
): OpResult<"withdraw"> {
  const { statements, config } = context;
  const state = statements.stateOfThread.get(threadId);
  const isOurs = state?.owner_id === config.instanceId && state.claim_number === number;
  if (state?.is_running === 1 && isOurs && state.epoch !== null) {
    free(context, { threadId, epoch: state.epoch });
  }
  return OK;
}

/**
 * Frees the thread of a run whose end cannot be stored, or of which a part was lost. With `keep`, the
 * journaled events are stored like those of an interrupted run: closed, with an error at the end.
 */
export function giveUp(context: WriterContext, op: GiveUpOp): OpResult<"giveUp"> {
  context.longRuns.take(op);
  if (!holdsLease(context, op)) return OK;
  const state = context.statements.stateOfThread.get(op.threadId);
  if (op.keep && state !== undefined) {
    recoverRun(context, state, { retain: true, end: REST_UNSTORED });
  } else {
    deleteSegments(context, context.journals.take(op));
    free(context, op);
  }
  return OK;
}

function free(context: WriterContext, run: RunKey): void {
  const now = Date.now();
  expectChange(freeThread(context, run, now), "the end of a run");
  context.touches.note(run.threadId, now, null);
  forgetIfEmpty(context, run.threadId);
}
