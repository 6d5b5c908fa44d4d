import type {
  HistoryPageMessage,
  RunningMessage,
  RunningRequest,
} from "../../../src/protocol/messages.ts";
import { isVisible, type Scope } from "../../../src/protocol/scope.ts";
import { epochOf, hasLiveOwner, holdingRun } from "../instances/ownership.ts";
import type { ReaderContext } from "./reader-context.ts";

/** Whether a call with `scope` sees the thread. A thread that is unknown is one of nobody. */
export function isThreadVisible(
  { statements }: Pick<ReaderContext, "statements">,
  threadId: string,
  scope: Scope,
): boolean {
  if (statements.unfinishedThread.get(threadId) !== undefined) return false;
  if (scope === "every") return true;
  return isVisible(scope, statements.resourceOfThread.get(threadId) ?? null);
}

/** The run that holds a thread, if its owner is alive and the run was not told to stop. */
export function runningRun(
  context: ReaderContext,
  { threadId, scope }: RunningRequest,
): RunningMessage {
  if (!isThreadVisible(context, threadId, scope)) return { run: null };
  const state = context.statements.stateOfThread.get(threadId);
  const runs = hasLiveOwner(context, state) && state.stop_requested === null;
  return { run: runs ? holdingRun(context, state) : null };
}

/** Whether no run can have the thread now: a live owner holds it, or it is being removed or forked. */
export function isHeld(context: ReaderContext, threadId: string): boolean {
  if (context.statements.unfinishedThread.get(threadId) !== undefined) return true;
  return hasLiveOwner(context, context.statements.stateOfThread.get(threadId));
}

/** The run that holds a thread, if its owner is alive, and the last epoch whose run is over. */
export function threadNow(
  context: ReaderContext,
  threadId: string,
): Pick<HistoryPageMessage, "live" | "endedUpTo"> {
  const state = context.statements.stateOfThread.get(threadId);
  if (state === undefined) return { live: null, endedUpTo: 0 };
  const isOver = state.is_running !== 1;
  const endedUpTo = isOver ? epochOf(state) : Math.max(0, epochOf(state) - 1);
  return { live: hasLiveOwner(context, state) ? holdingRun(context, state) : null, endedUpTo };
}
