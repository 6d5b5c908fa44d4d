import type { OfferedRun, OpResult, SettleOp, TakeOp } from "../../../src/protocol/messages.ts";
import type { RunStateRow } from "../instances/statements.ts";
import type { WriterContext } from "./writer-context.ts";

/** Interrupted runs that one notice names at most. */
const MAX_OFFERED = 1000;

/** The interrupted runs that no live instance has taken, those with the fewest attempts first. */
export function offeredRuns(context: WriterContext): readonly OfferedRun[] {
  const offered: OfferedRun[] = [];
  for (const state of context.statements.interruptedRuns.iterate()) {
    const { thread_id: threadId, interrupted_row: row, attempt } = state;
    if (row === null || isTaken(context, state)) continue;
    offered.push({ threadId, row, attempt: attempt ?? 0 });
    if (offered.length === MAX_OFFERED) break;
  }
  return offered;
}

/** Takes an interrupted run for this instance. The attempt counts even if this process dies at once. */
export function takeInterrupted(context: WriterContext, op: TakeOp): OpResult<"take"> {
  const { statements, config } = context;
  const { threadId, attempt } = op;
  const state = interruptedState(context, op);
  if (state === null) return { ok: true, taken: null };
  const isRepeated = state.taken_by === config.instanceId && state.attempt === attempt + 1;
  const isFree = (state.attempt ?? 0) === attempt && !isTaken(context, state);
  if (!isRepeated && !isFree) return { ok: true, taken: null };
  if (isFree) statements.takeInterrupted.run(config.instanceId, attempt + 1, threadId);
  const { interrupted_start: start, updated_at: endedAt } = state;
  const resourceId = statements.resourceOfThread.get(threadId) ?? null;
  const taken = { agentId: state.agent_id, resourceId, startedAt: start ?? endedAt };
  return { ok: true, taken };
}

/** Has an interrupted run offered no more, unless a live other instance has taken it. */
export function settleInterrupted(context: WriterContext, op: SettleOp): OpResult<"settle"> {
  const state = interruptedState(context, op);
  const isOurs = state?.taken_by === context.config.instanceId;
  if (state === null || (!isOurs && isTaken(context, state))) return { ok: true, settled: false };
  context.statements.settleInterrupted.run(op.threadId);
  return { ok: true, settled: true };
}

/** The state of the thread if no run has held it since the interrupted run, else null. */
function interruptedState(
  { statements }: WriterContext,
  { threadId, row }: { readonly threadId: string; readonly row: number },
): RunStateRow | null {
  const state = statements.stateOfThread.get(threadId);
  return state?.interrupted_row === row && state.is_running !== 1 ? state : null;
}

function isTaken({ liveness }: WriterContext, { taken_by: takenBy }: RunStateRow): boolean {
  return takenBy !== null && liveness.isAlive(takenBy);
}
