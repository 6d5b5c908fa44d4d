import type {
  HistoryPageMessage,
  RunningMessage,
  RunningRequest,
} from "../../../src/protocol/messages.ts";
import { isVisible, type Scope } from "../../../src/protocol/scope.ts";
import { liveRunOf, threadNow, VERSION_1_EPOCH } from "../../../src/runs/holder.ts";
import { holderOf, isThreadVisible } from "../instances/ownership.ts";
import type { ReaderContext } from "./reader-context.ts";

/** The run that holds a thread, if its owner is alive and the run was not told to stop. */
export function runningRun(
  context: ReaderContext,
  { threadId, scope }: RunningRequest,
): RunningMessage {
  // In one transaction: the first run of a new thread gives it to a resource.
  return context.db.transaction(() => {
    if (!isThreadVisible(context.statements, threadId, scope)) {
      return { run: null, isOthers: isOthersThread(context, threadId, scope) };
    }
    const state = context.statements.stateOfThread.get(threadId);
    const holder = state?.stop_requested === null ? holderOf(context, state) : null;
    return { run: liveRunOf(holder, context.config.instanceId), isOthers: false };
  })();
}

/** Whether the thread, finished or not, belongs to another than the scope. */
function isOthersThread({ statements }: ReaderContext, threadId: string, scope: Scope): boolean {
  const unfinished = statements.unfinishedThread.get(threadId);
  const owner = unfinished?.resource_id ?? statements.resourceOfThread.get(threadId);
  return owner !== undefined && !isVisible(scope, owner);
}

/** Whether no run can have the thread now: a live owner holds it, or it is being removed or forked. */
export function isHeld(context: ReaderContext, threadId: string): boolean {
  if (context.statements.unfinishedThread.get(threadId) !== undefined) return true;
  return holderOf(context, context.statements.stateOfThread.get(threadId))?.isAlive === true;
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
