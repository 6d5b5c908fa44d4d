import type { OpResult, StopOp } from "../../../src/protocol/messages.ts";
import type { RunKey } from "../../../src/protocol/run-key.ts";
import { hasLiveOwner } from "../instances/ownership.ts";
import type { WriterContext } from "./writer-context.ts";

// The values of run_state.stop_requested.
const STOP = 1;
export const STOP_AND_DISCARD = 2;

/** Leaves word for the owner of a thread's run. `stopped` says whether there is one to find it. */
export function requestStop(context: WriterContext, op: StopOp): OpResult {
  const { statements, config } = context;
  const state = statements.stateOfThread.get(op.threadId);
  const isOther = state?.owner_id !== null && state?.owner_id !== config.instanceId;
  const isMeant = op.runId === null || state?.current_run_id === op.runId;
  if (!isOther || !isMeant || !hasLiveOwner(context, state)) {
    return { ok: true, stopped: false };
  }
  return { ok: true, stopped: statements.requestStop.run(STOP, op.threadId).changes === 1 };
}

export interface RunToStop extends RunKey {
  readonly discard: boolean;
}

/** The runs of this instance that another one wants to end. */
export function ownRunsToStop({ statements, config }: WriterContext): readonly RunToStop[] {
  return statements.ownRunsToStop.all(config.instanceId).map((row) => {
    const discard = row.stop_requested === STOP_AND_DISCARD;
    return { threadId: row.thread_id, epoch: row.epoch, discard };
  });
}
