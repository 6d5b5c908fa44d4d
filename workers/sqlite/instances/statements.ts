import type { Database } from "better-sqlite3";

export interface RunStateRow {
  readonly thread_id: string;
  readonly is_running: number;
  readonly current_run_id: string | null;
  readonly epoch: number | null;
  readonly owner_id: string | null;
  readonly updated_at: number;
  /** `ClaimOp.number` of the owner's claim. */
  readonly claim_number: number | null;
  readonly stop_requested: number | null;
  /** The columns of interrupted runs: see `ADDED_FOR_INTERRUPTED`. */
  readonly agent_id: string | null;
  readonly attempt: number | null;
  readonly interrupted_row: number | null;
  readonly interrupted_start: number | null;
  readonly taken_by: string | null;
}

export interface InstanceRow {
  readonly instance_id: string;
  readonly host: string;
  readonly pid: number;
  readonly process_start: string | null;
  readonly lease_ms: number;
  /** Milliseconds since the epoch, for people. No decision depends on it. */
  readonly heartbeat_at: number;
  /** Milliseconds on the monotonic clock of its machine: a new number with each heartbeat. */
  readonly heartbeat_uptime: number;
}

export interface UnfinishedThreadRow {
  readonly resource_id: string | null;
  readonly up_to: number;
  /** See removal/unfinished.ts. */
  readonly is_fork: number;
  /** The instance that works on it. */
  readonly owner_id: string;
}

/** The columns of `RunStateRow`. */
export const RUN_STATE = `thread_id, is_running, current_run_id, epoch, owner_id, updated_at,
  claim_number, stop_requested, agent_id, attempt, interrupted_row, interrupted_start, taken_by`;

/** The columns of `InstanceRow`. */
const INSTANCE = "instance_id, host, pid, process_start, lease_ms, heartbeat_at, heartbeat_uptime";

/** Which run holds a thread, and the instance that owns the run. */
export function prepareOwnerStatements(db: Database) {
  return {
    stateOfThread: db.prepare<[string], RunStateRow>(
      `SELECT ${RUN_STATE} FROM run_state WHERE thread_id = ?`,
    ),
    // No row for a thread that is unknown.
    resourceOfThread: db
      .prepare<[string], string | null>("SELECT resource_id FROM threads WHERE thread_id = ?")
      .pluck(),
    // A thread that is being removed or forked: see removal-tables.ts.
    unfinishedThread: db.prepare<[string], UnfinishedThreadRow>(
      "SELECT resource_id, up_to, is_fork, owner_id FROM unfinished_threads WHERE thread_id = ?",
    ),
    instance: db.prepare<[string], InstanceRow>(
      `SELECT ${INSTANCE} FROM runner_instances WHERE instance_id = ?`,
    ),
  };
}

export type OwnerStatements = ReturnType<typeof prepareOwnerStatements>;

/** The instances on the file, and this one's heartbeat. */
export function prepareInstanceStatements(db: Database) {
  return {
    ...prepareOwnerStatements(db),
    instances: db.prepare<[], InstanceRow>(`SELECT ${INSTANCE} FROM runner_instances`),
    otherInstance: db
      .prepare<[string], number>("SELECT 1 FROM runner_instances WHERE instance_id <> ? LIMIT 1")
      .pluck(),
    heartbeat: db.prepare<[string, string, number, string | null, number, number, number]>(
      `INSERT INTO runner_instances
         (instance_id, host, pid, process_start, lease_ms, heartbeat_at, heartbeat_uptime)
       VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (instance_id) DO UPDATE SET
         heartbeat_at = excluded.heartbeat_at, heartbeat_uptime = excluded.heartbeat_uptime`,
    ),
    deleteIdleInstance: db.prepare<[string, string]>(
      `DELETE FROM runner_instances WHERE instance_id = ?
         AND NOT EXISTS (SELECT 1 FROM run_state WHERE is_running = 1 AND owner_id = ?)`,
    ),
    deleteInstance: db.prepare<[string]>("DELETE FROM runner_instances WHERE instance_id = ?"),
  };
}

export type InstanceStatements = ReturnType<typeof prepareInstanceStatements>;
