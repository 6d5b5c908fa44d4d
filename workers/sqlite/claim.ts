import type { ClaimOp, OpResult } from "../../src/protocol/messages.ts";
import { seenMessages } from "./message-index.ts";
import { hasLiveOwner } from "./ownership.ts";
import { recoverRun } from "./recover.ts";
import type { WriterContext } from "./writer-context.ts";

function refuse(code: "RUN_ID_TAKEN" | "THREAD_ALREADY_RUNNING", message: string): OpResult {
  return { ok: false, fault: { code, message } };
}

/**
 * Takes a thread for a run, unless a live owner holds it or the run id is used.
 *
 * A run of this very instance never stands in the way: the main thread knows which of its runs
 * are active and asks only when none is, so what is left here under its name is an orphan.
 */
export function claim(context: WriterContext, op: ClaimOp): OpResult {
  const { statements, config } = context;
  const state = statements.stateOfThread.get(op.threadId);
  const isOwn = state?.is_running === 1 && state.owner_id === config.instanceId;

  if (isOwn && state.current_run_id === op.runId && state.epoch !== null) {
    // The batch with this claim was committed before, and its acknowledgement was lost.
    const seen = seenMessages(statements, op.threadId, op.messageIds);
    return { ok: true, claim: { epoch: state.epoch, seen } };
  }
  if (
    statements.storedRunEpoch.get(op.runId) !== undefined ||
    statements.threadOfRunningRun.get(op.runId) !== undefined
  ) {
    return refuse("RUN_ID_TAKEN", `a run with the id ${JSON.stringify(op.runId)} exists already`);
  }
  if (state?.is_running === 1) {
    if (!isOwn && hasLiveOwner(context, state)) {
      return refuse("THREAD_ALREADY_RUNNING", "Thread already running");
    }
    recoverRun(context, state);
  }
  const seen = seenMessages(statements, op.threadId, op.messageIds);
  const epoch = statements.takeThread.get(op.threadId, op.runId, config.instanceId, Date.now());
  if (epoch === undefined) throw new Error("the upsert of run_state returned no epoch");
  return { ok: true, claim: { epoch, seen } };
}
