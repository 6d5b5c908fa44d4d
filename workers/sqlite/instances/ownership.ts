import type { WorkerConfig } from "../../../src/protocol/messages.ts";
import { isVisible, type Scope } from "../../../src/protocol/scope.ts";
import type { ThreadHolder } from "../../../src/runs/holder.ts";
import { isVersion1Alive } from "../../../src/runs/liveness.ts";
import type { Liveness } from "./liveness.ts";
import type { OwnerStatements, RunStateRow } from "./statements.ts";

export interface OwnershipContext {
  readonly config: Pick<WorkerConfig, "leaseMs">;
  readonly liveness: Liveness;
}

/** Whether a run holds the thread and its owner may still be executing it. */
export function hasLiveOwner(
  { liveness, config }: OwnershipContext,
  state: RunStateRow | undefined,
): state is RunStateRow {
  if (state?.is_running !== 1) return false;
  if (state.owner_id === null) {
    return isVersion1Alive(state.updated_at, Date.now(), config.leaseMs);
  }
  return liveness.isAlive(state.owner_id);
}

/** The claim that holds a thread, or null. */
export function holderOf(
  context: OwnershipContext,
  state: RunStateRow | undefined,
): ThreadHolder | null {
  if (state?.is_running !== 1) return null;
  const { current_run_id: runId, owner_id: ownerId, claim_number: claimNumber, epoch } = state;
  return { runId, ownerId, claimNumber, epoch, isAlive: hasLiveOwner(context, state) };
}

/**
 * Whether a call with `scope` sees the thread. A thread that is unknown is one of nobody. One that is being
 * removed or forked is seen by nobody.
 */
export function isThreadVisible(
  statements: Pick<OwnerStatements, "resourceOfThread" | "unfinishedThread">,
  threadId: string,
  scope: Scope,
): boolean {
  if (statements.unfinishedThread.get(threadId) !== undefined) return false;
  return isVisible(scope, statements.resourceOfThread.get(threadId) ?? null);
}
