import type { Database } from "better-sqlite3";
import { SCHEMA_VERSION } from "../database/schema.ts";
import { RUN_STATE, type RunStateRow } from "../instances/statements.ts";
import type { RunKeyRow } from "../state/statements.ts";
import type { StoredText } from "../values/packed-text.ts";

/**
 * The next epoch of a thread. A version 1 runner replaces the row of a thread that it takes, and the row
 * loses its epoch: then the next epoch follows the last one in `agent_runs`.
 */
const NEXT_EPOCH = `1 + coalesce(run_state.epoch,
  (SELECT epoch FROM agent_runs
   WHERE agent_runs.thread_id = run_state.thread_id AND epoch IS NOT NULL
   ORDER BY id DESC LIMIT 1), 0)`;

export interface EpochRow {
  readonly id: number;
  readonly epoch: number | null;
  /** The id that the client gave the run. */
  readonly run_id: string;
}

/** Finds the row of a run that was stored. */
export function prepareStoredRunStatements(db: Database) {
  return {
    epochsOfThread: db.prepare<[string], EpochRow>(
      `SELECT id, epoch, coalesce(client_run_id, run_id) AS run_id FROM agent_runs
       WHERE thread_id = ? ORDER BY id DESC`,
    ),
  };
}

export type StoredRunStatements = ReturnType<typeof prepareStoredRunStatements>;

/** Runs that a crash ended, and that may be run again. */
function prepareInterruptedStatements(db: Database) {
  return {
    interruptedRuns: db.prepare<[], RunStateRow>(
      `SELECT ${RUN_STATE} FROM run_state
       WHERE interrupted_row IS NOT NULL AND +is_running IS NOT 1 ORDER BY attempt`,
    ),
    setInterrupted: db.prepare<[row: number | null, start: number, threadId: string]>(
      `UPDATE run_state SET interrupted_row = ?, interrupted_start = ?, taken_by = NULL
       WHERE thread_id = ?`,
    ),
    takeInterrupted: db.prepare<[takenBy: string, attempt: number, threadId: string]>(
      "UPDATE run_state SET taken_by = ?, attempt = ? WHERE thread_id = ?",
    ),
    settleInterrupted: db.prepare<[threadId: string]>(
      "UPDATE run_state SET interrupted_row = NULL, taken_by = NULL WHERE thread_id = ?",
    ),
  };
}

/** Claims, ends and stored rows of runs, and the stop requests of other instances. */
export function prepareRunStatements(db: Database) {
  return {
    ...prepareStoredRunStatements(db),
    runsOfOthers: db.prepare<[string], RunStateRow>(
      `SELECT ${RUN_STATE} FROM run_state WHERE is_running = 1 AND owner_id IS NOT ?`,
    ),
    // Epochs ascend with the rows: the newest row has the last one.
    lastEpochOfThread: db
      .prepare<[string], number>(
        `SELECT epoch FROM agent_runs WHERE thread_id = ? AND epoch IS NOT NULL
         ORDER BY id DESC LIMIT 1`,
      )
      .pluck(),
    lastRemovedEpoch: db.prepare<[], number>("SELECT last_epoch FROM removed_threads").pluck(),
    insertThread: db.prepare<[string, string | null, string | null, number, number]>(
      `INSERT INTO threads (thread_id, agent_id, resource_id, created_at, updated_at)
       VALUES (?, ?, ?, ?, ?)`,
    ),
    // A thread of which no run was stored, and of which nothing is set.
    deleteEmptyThread: db.prepare<[string, string]>(
      `DELETE FROM threads WHERE thread_id = ? AND title IS NULL AND metadata IS NULL AND archived = 0
         AND NOT EXISTS (SELECT 1 FROM agent_runs WHERE thread_id = ?)`,
    ),
    takeFreeThread: db
      .prepare<
        [
          ...[threadId: string, runId: string, ownerId: string, claimNumber: number],
          ...[now: number, agentId: string | null, attempt: number | null, firstEpoch: number],
        ],
        number
      >(
        `INSERT INTO run_state (thread_id, is_running, current_run_id, owner_id, claim_number,
           updated_at, agent_id, attempt, epoch)
         VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (thread_id) DO UPDATE SET
           is_running = 1, current_run_id = excluded.current_run_id, owner_id = excluded.owner_id,
           claim_number = excluded.claim_number, updated_at = excluded.updated_at,
           agent_id = excluded.agent_id, attempt = excluded.attempt, interrupted_row = NULL,
           taken_by = NULL, stop_requested = NULL, epoch = ${NEXT_EPOCH}
         WHERE is_running IS NOT 1
         RETURNING epoch`,
      )
      .pluck(),
    takeThreadOfEpoch: db.prepare<
      [
        ...[runId: string, ownerId: string, claimNumber: number, now: number],
        ...[agentId: string | null, attempt: number | null, threadId: string, epoch: number],
      ]
    >(
      `UPDATE run_state SET is_running = 1, current_run_id = ?, owner_id = ?, claim_number = ?,
         updated_at = ?, agent_id = ?, attempt = ?, interrupted_row = NULL, taken_by = NULL,
         stop_requested = NULL, epoch = epoch + 1
       WHERE thread_id = ? AND +is_running IS NOT 1 AND epoch = ?`,
    ),
    // `attempt` and `interrupted_row` stay: the rerun may be interrupted, too.
    takeForRerun: db
      .prepare<
        [
          ...[runId: string, ownerId: string, claimNumber: number, now: number],
          ...[agentId: string | null, threadId: string, row: number, takenBy: string],
        ],
        number
      >(
        `UPDATE run_state SET is_running = 1, current_run_id = ?, owner_id = ?, claim_number = ?,
         updated_at = ?, agent_id = ?, taken_by = NULL, stop_requested = NULL, epoch = epoch + 1
       WHERE thread_id = ? AND +is_running IS NOT 1 AND +interrupted_row = ? AND taken_by = ?
       RETURNING epoch`,
      )
      .pluck(),
    // Tests the owner too. If the row of an executing run is deleted or replaced, the same epoch can be
    // given again. The events of that run must not get into the run of the next owner.
    isHeldBy: db
      .prepare<[string, number, string], number>(
        `SELECT 1 FROM run_state
         WHERE thread_id = ? AND +is_running = 1 AND epoch = ? AND owner_id = ?`,
      )
      .pluck(),
    freeThreadHeldBy: db.prepare<[number, string, number, string]>(
      `UPDATE run_state SET is_running = 0, current_run_id = NULL, owner_id = NULL,
         stop_requested = NULL, interrupted_row = NULL, updated_at = ?
       WHERE thread_id = ? AND +is_running = 1 AND epoch = ? AND owner_id = ?`,
    ),
    // Raises the epoch: the owner may only have been suspended, and its late writes must be refused.
    takeFromDeadOwner: db.prepare<[number, string]>(
      `UPDATE run_state SET is_running = 0, current_run_id = NULL, owner_id = NULL,
         stop_requested = NULL, updated_at = ?, epoch = ${NEXT_EPOCH}
       WHERE thread_id = ?`,
    ),
    ...prepareInterruptedStatements(db),

    requestStop: db.prepare<[number, string]>(
      `UPDATE run_state SET stop_requested = ?
       WHERE thread_id = ? AND is_running = 1 AND stop_requested IS NULL`,
    ),
    requestEnd: db.prepare<[number, string]>(
      "UPDATE run_state SET stop_requested = ? WHERE thread_id = ? AND is_running = 1",
    ),
    ownRunsToStop: db.prepare<[string], RunKeyRow & { stop_requested: number }>(
      `SELECT thread_id, epoch, stop_requested FROM run_state
       WHERE is_running = 1 AND stop_requested > 0 AND owner_id = ?`,
    ),

    insertRun: db.prepare<
      [
        ...[threadId: string, runId: string, clientId: string | null],
        ...[events: string, input: string, createdAt: number, agentId: string | null],
        ...[sharedEvents: StoredText | null, sharedInput: StoredText | null, epoch: number],
      ]
    >(
      `INSERT INTO agent_runs
         (thread_id, run_id, client_run_id, events, input, created_at, version, agent_id,
          shared_events, shared_input, epoch)
       VALUES (?, ?, ?, ?, ?, ?, ${SCHEMA_VERSION}, ?, ?, ?, ?) ON CONFLICT (run_id) DO NOTHING`,
    ),
    retainJournal: db.prepare<[string, number, string]>(
      `INSERT INTO retained_journals (thread_id, epoch, segment_ids) VALUES (?, ?, ?)
       ON CONFLICT DO NOTHING`,
    ),
  };
}

export type RunStatements = ReturnType<typeof prepareRunStatements>;
