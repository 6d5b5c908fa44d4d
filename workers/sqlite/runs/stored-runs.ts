import type { RunKey } from "../../../src/protocol/run-key.ts";
import type { RunStateRow } from "../instances/statements.ts";
import type { StoredRunStatements } from "./statements.ts";

/**
 * Stands for the epoch of a run that a version 1 runner executes or has stored, and which has none.
 * Claims count from 1.
 */
export const VERSION_1_EPOCH = 0;

/** The epoch in which a thread is held, or was held last. */
export function epochOf(state: RunStateRow): number {
  return state.epoch ?? VERSION_1_EPOCH;
}

/**
 * The id of a run's row in `agent_runs`, or undefined when the run is not stored. With a `runId`, it has
 * to be that run's: someone may have deleted the row that counts the claims, and an epoch come again.
 *
 * Looks from the newest row of the thread backwards. Epochs ascend with the rows, so the search ends
 * at the first older run, and needs no index.
 */
export function findStoredRun(
  statements: StoredRunStatements,
  { threadId, epoch, runId }: RunKey & { readonly runId?: string },
): number | undefined {
  for (const row of statements.epochsOfThread.iterate(threadId)) {
    if ((row.epoch ?? VERSION_1_EPOCH) === epoch) {
      return runId === undefined || row.run_id === runId ? row.id : undefined;
    }
    // Rows of version 1 stand anywhere between the others.
    if (row.epoch !== null && row.epoch < epoch) return undefined;
  }
  return undefined;
}
