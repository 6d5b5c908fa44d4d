import type { WorkerConfig } from "../../../src/protocol/messages.ts";
import type { ThreadHolder } from "../../../src/runs/holder.ts";
import { isVersion1Alive } from "../../../src/runs/liveness.ts";
import type { Liveness } from "./liveness.ts";
import type { RunStateRow } from "./statements.ts";

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
