import type { HoldingRun, WorkerConfig } from "../../../src/protocol/messages.ts";
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

/** Stands for the missing epoch of a run of a version 1 runner. Epochs of claims count from 1. */
export const VERSION_1_EPOCH = 0;

/** The epoch of the run that holds the thread, or held it last. */
export function epochOf(state: RunStateRow): number {
  return state.epoch ?? VERSION_1_EPOCH;
}

/** The run that holds a thread, for the main thread. */
export function holdingRun(
  { config }: { readonly config: Pick<WorkerConfig, "instanceId"> },
  state: RunStateRow,
): HoldingRun | null {
  const { current_run_id: runId, owner_id: ownerId, claim_number: claim } = state;
  if (runId === null) return null;
  return { runId, epoch: epochOf(state), ownClaim: ownerId === config.instanceId ? claim : null };
}
