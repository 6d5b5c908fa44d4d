import { isInstanceAlive } from "./instances.ts";
import type { ProcessIdentity } from "./process-identity.ts";
import type { OwnerStatements, RunStateRow } from "./statements.ts";

/** How long a runner counts as alive that beats no heart. */
export interface LeaseConfig {
  readonly leaseMs: number;
}

/** Whether the run that a thread's state names may still be executing somewhere. */
export function hasLiveOwner(
  statements: OwnerStatements,
  state: RunStateRow | undefined,
  own: ProcessIdentity,
  { leaseMs }: LeaseConfig,
): state is RunStateRow {
  if (state?.is_running !== 1) return false;
  if (state.owner_id === null) {
    // A version 1 runner took the thread. It beats no heart: its own last write stands for one.
    return Math.abs(Date.now() - state.updated_at) < leaseMs;
  }
  return isInstanceAlive(statements.instance.get(state.owner_id), own);
}
