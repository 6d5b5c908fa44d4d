import type { ConfirmOp, Done, OpResult } from "../../../src/protocol/messages.ts";
import type { RunKey } from "../../../src/protocol/run-key.ts";
import { findStoredRun } from "./stored-runs.ts";
import type { WriterContext } from "./writer-context.ts";

/**
 * The answer of an operation without a result. One object: the reply to the main thread holds it once.
 */
export const OK: Done = { ok: true };

const LEASE_LOST: OpResult<"append"> = {
  ok: false,
  fault: {
    code: "LEASE_LOST",
    message: "the thread is not held by this run any more",
  },
};

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

/**
 * The answer to a write of a run that does not hold its thread. If the run is stored, the write was
 * committed before and its batch was sent again: the answer is `OK`.
 */
export function answerWithoutLease(
  { statements }: WriterContext,
  run: RunKey & { readonly runId?: string },
): OpResult<"append" | "confirm" | "finish"> {
  return findStoredRun(statements, run) !== undefined ? OK : LEASE_LOST;
}

export function confirm(context: WriterContext, op: ConfirmOp): OpResult<"confirm"> {
  return holdsLease(context, op) ? OK : answerWithoutLease(context, op);
}
