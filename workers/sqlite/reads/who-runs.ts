import type { HistoryPageMessage, RunningMessage } from "../../../src/protocol/messages.ts";
import { liveRunOf, threadNow, VERSION_1_EPOCH } from "../../../src/runs/holder.ts";
import { holderOf } from "../instances/ownership.ts";
import type { ReaderContext } from "./reader-context.ts";

/** The run that holds a thread, if its owner is alive and the run was not told to stop. */
export function runningRun(context: ReaderContext, threadId: string): RunningMessage {
  const state = context.statements.stateOfThread.get(threadId);
  const holder = state?.stop_requested === null ? holderOf(context, state) : null;
  return { run: liveRunOf(holder, context.config.instanceId) };
}

/** The run that holds a thread, if its owner is alive, and the last epoch whose run is over. */
export function readThreadNow(
  context: ReaderContext,
  threadId: string,
): Pick<HistoryPageMessage, "live" | "endedUpTo"> {
  const state = context.statements.stateOfThread.get(threadId);
  const lastEpoch = state?.epoch ?? VERSION_1_EPOCH;
  return threadNow(holderOf(context, state), lastEpoch, context.config.instanceId);
}
