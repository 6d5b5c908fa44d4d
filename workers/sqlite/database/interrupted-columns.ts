import type { AddedColumn } from "./added-column.ts";

/** What is known of a run that a crash ended, until it was run again: see `InterruptedRuns` of the port. */
export const ADDED_FOR_INTERRUPTED: readonly AddedColumn[] = [
  // `ClaimOp.agentId` of the claim that holds the thread, or held it last.
  ["run_state", "agent_id", "TEXT"],
  // How many times the run was offered for a rerun. Null for a run that is not offered after a crash.
  ["run_state", "attempt", "INTEGER"],
  // The row in agent_runs of the run that a crash ended. It stays while reruns of that run execute: their
  // input is that of this row. Null when there is nothing to run again.
  ["run_state", "interrupted_row", "INTEGER"],
  // Milliseconds since the epoch when that run took its thread.
  ["run_state", "interrupted_start", "INTEGER"],
  // The instance that has taken the run in order to run it again.
  ["run_state", "taken_by", "TEXT"],
];

export const INTERRUPTED_INDEX = `
CREATE INDEX IF NOT EXISTS idx_interrupted ON run_state(interrupted_row)
WHERE interrupted_row IS NOT NULL;
`;
