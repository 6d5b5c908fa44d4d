import type { ConfirmOp, OpResult } from "../../../src/protocol/messages.ts";
import type { RunKey } from "../../../src/protocol/run-key.ts";
import { answerUnheld, OK, type RunOp } from "../../../src/runs/answers.ts";
import { findStoredRun } from "./stored-runs.ts";
import type { WriterContext } from "./writer-context.ts";

/** Whether the run holds its thread. Checked before every write of the run. */
export function holdsLease(
  { statements, config }: WriterContext,
  { threadId, epoch }: RunKey,
): boolean {
  return statements.isHeldBy.get(threadId, epoch, config.instanceId) !== undefined;
}

/** Frees the thread if the run holds it. `changes` is 1 if the run held it, else 0. */
export function freeThread(
  { statements, config }: WriterContext,
  { threadId, epoch }: RunKey,
  now: number,
): { readonly changes: number } {
  return statements.freeThreadHeldBy.run(now, threadId, epoch, config.instanceId);
}

/** See `answerUnheld`. */
export function answerWithoutLease(
  { statements }: WriterContext,
  op: RunOp,
): OpResult<RunOp["kind"]> {
  return answerUnheld(op, () => findStoredRun(statements, op) !== undefined);
}

export function confirm(context: WriterContext, op: ConfirmOp): OpResult<"confirm"> {
  return holdsLease(context, op) ? OK : answerWithoutLease(context, op);
}
