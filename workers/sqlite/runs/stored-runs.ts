import type { RunKey } from "../../../src/protocol/run-key.ts";
import { VERSION_1_EPOCH } from "../../../src/runs/holder.ts";
import type { RunStateRow } from "../instances/statements.ts";
import type { StoredRunStatements } from "./statements.ts";

/** The epoch of the run that holds the thread, or held it last. */
export function epochOf(state: RunStateRow): number {
  return state.epoch ?? VERSION_1_EPOCH;
}

/**
 * The id of a run's row in `agent_runs`, or undefined when the run is not stored. With `runId`, the row
 * must have that id too: an epoch can be given again after the row with the last epoch was deleted.
 *
 * Searches from the newest row of the thread backwards. Epochs ascend with the rows, so the search ends
 * at the first row of an earlier epoch, and needs no index.
 */
export function findStoredRun(
  statements: StoredRunStatements,
  { threadId, epoch, runId }: RunKey & { readonly runId?: string },
): number | undefined {
  for (const row of statements.epochsOfThread.iterate(threadId)) {
    if ((row.epoch ?? VERSION_1_EPOCH) === epoch) {
      if (runId === undefined || row.run_id === runId) return row.id;
      // All rows of version 1 have the same epoch.
      if (row.epoch !== null) return undefined;
    }
    // Rows of version 1 have no epoch and may stand anywhere: they do not end the search.
    if (row.epoch !== null && row.epoch < epoch) return undefined;
  }
  return undefined;
}
