import type { OpResult, StopOp } from "../../../src/protocol/messages.ts";
import type { RunKey } from "../../../src/protocol/run-key.ts";
import { isStoppable, STOP, STOP_AND_DISCARD } from "../../../src/runs/holder.ts";
import { holderOf, isThreadVisible } from "../instances/ownership.ts";
import type { WriterContext } from "./writer-context.ts";

/**
 * Asks the live owner of a thread's run to stop the run. `stopped` is false if there is no such owner, and
 * without `discard` also if the owner was asked before.
 */
export function requestStop(context: WriterContext, op: StopOp): OpResult<"stop"> {
  const { statements, config } = context;
  if (!isThreadVisible(statements, op.threadId, op.scope)) return { ok: true, stopped: false };
  const state = statements.stateOfThread.get(op.threadId);
  if (!isStoppable(holderOf(context, state), op, config.instanceId)) {
    return { ok: true, stopped: false };
  }
  const { changes } = op.discard
    ? statements.requestEnd.run(STOP_AND_DISCARD, op.threadId)
    : statements.requestStop.run(STOP, op.threadId);
  return { ok: true, stopped: changes === 1 };
}

export interface RunToStop extends RunKey {
  readonly discard: boolean;
}

/** The runs of this instance that other instances asked to stop. */
export function ownRunsToStop({ statements, config }: WriterContext): readonly RunToStop[] {
  return statements.ownRunsToStop.all(config.instanceId).map((row) => {
    const discard = row.stop_requested === STOP_AND_DISCARD;
    return { threadId: row.thread_id, epoch: row.epoch, discard };
  });
}
