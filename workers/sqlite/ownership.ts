import { isInstanceAlive } from "./instances.ts";
import type { RunStateRow } from "./statements.ts";
import type { WriterContext } from "./writer-context.ts";

/** Whether the run that a thread's state names may still be executing somewhere. */
export function hasLiveOwner(context: WriterContext, state: RunStateRow): boolean {
  if (state.is_running !== 1) return false;
  const now = Date.now();
  if (state.owner_id === null) {
    // A version 1 runner took the thread. It beats no heart: its own last write stands for one.
    return now - state.updated_at < context.config.leaseMs;
  }
  return isInstanceAlive(context.statements.instance.get(state.owner_id), context.identity, now);
}
