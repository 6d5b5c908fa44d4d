import type {
  HistoryPageMessage,
  HoldingRun,
  RunningMessage,
  RunningRequest,
} from "../../../src/protocol/messages.ts";
import { isVisible, type Scope } from "../../../src/protocol/scope.ts";
import { hasLiveOwner } from "../instances/ownership.ts";
import type { RunStateRow } from "../instances/statements.ts";
import { epochOf } from "../runs/stored-runs.ts";
import type { ReaderContext } from "./reader-context.ts";

/** Whether a call with `scope` sees the thread. A thread that is unknown is one of nobody. */
export function isThreadVisible(
  { statements }: Pick<ReaderContext, "statements">,
  threadId: string,
  scope: Scope,
): boolean {
  if (scope === "every") return true;
  return isVisible(scope, statements.resourceOfThread.get(threadId) ?? null);
}

/** The run that holds a thread, if its owner is alive and the run was not told to stop. */
export function runningRun(
  context: ReaderContext,
  { threadId, scope }: RunningRequest,
): RunningMessage {
  // In one transaction: the first run of a new thread gives it to a resource.
  return context.db.transaction(() => {
    if (!isThreadVisible(context, threadId, scope)) {
      return {
        run: null,
        isOthers: context.statements.resourceOfThread.get(threadId) !== undefined,
      };
    }
    const state = context.statements.stateOfThread.get(threadId);
    const runs = hasLiveOwner(context, state) && state.stop_requested === null;
    return { run: runs ? holdingRun(context, state) : null, isOthers: false };
  })();
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

function holdingRun({ config }: ReaderContext, state: RunStateRow): HoldingRun | null {
  const { current_run_id: runId, owner_id: ownerId, claim_number: claim } = state;
  if (runId === null) return null;
  return { runId, epoch: epochOf(state), ownClaim: ownerId === config.instanceId ? claim : null };
}
