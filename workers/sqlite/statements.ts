import type { Database } from "better-sqlite3";
import { SCHEMA_VERSION } from "./database/schema.ts";

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
}

const RUN_STATE =
  "thread_id, is_running, current_run_id, epoch, owner_id, updated_at, claim_number, stop_requested";
const INSTANCE = "instance_id, host, pid, process_start, lease_ms, heartbeat_at, heartbeat_uptime";

/**
 * The next epoch of a thread. A version 1 runner replaces the row of a thread that it takes, and the
 * epoch is lost with it: then it goes on behind those that are stored.
 */
const NEXT_EPOCH = `1 + coalesce(run_state.epoch,
  (SELECT epoch FROM agent_runs
   WHERE agent_runs.thread_id = run_state.thread_id AND epoch IS NOT NULL
   ORDER BY id DESC LIMIT 1), 0)`;

export interface InstanceRow {
  readonly instance_id: string;
  readonly host: string;
  readonly pid: number;
  readonly process_start: string | null;
  readonly lease_ms: number;
  /** Milliseconds of the time of day, for people. */
  readonly heartbeat_at: number;
  /** Another number with each heartbeat: milliseconds on the monotonic clock of its machine. */
  readonly heartbeat_uptime: number;
}

export interface SegmentRow {
  readonly seq: number;
  readonly events: string;
}

/** What a run is known by. */
export interface RunKeyRow {
  readonly thread_id: string;
  readonly epoch: number;
}

/** Where a segment stands, without what it holds. */
export interface SegmentPlaceRow extends RunKeyRow {
  readonly id: number;
  readonly seq: number;
}

/** A segment of one of several runs. */
export interface FollowedSegmentRow extends RunKeyRow {
  readonly id: number;
  readonly events: string;
}

export interface EpochRow {
  readonly id: number;
  readonly epoch: number | null;
  /** The id that the client gave the run. */
  readonly run_id: string;
}

export interface StoredRunRow {
  readonly id: number;
  /** The id that the client gave the run. */
  readonly run_id: string;
  /** Null when they are longer than what was asked for. */
  readonly events: string | null;
}

/** Who holds a thread and who held it: the writer asks before a claim, the readers for `isRunning`. */
function prepareOwnerStatements(db: Database) {
  return {
    stateOfThread: db.prepare<[string], RunStateRow>(
      `SELECT ${RUN_STATE} FROM run_state WHERE thread_id = ?`,
    ),
    instance: db.prepare<[string], InstanceRow>(
      `SELECT ${INSTANCE} FROM runner_instances WHERE instance_id = ?`,
    ),
    epochsOfThread: db.prepare<[string], EpochRow>(
      `SELECT id, epoch, coalesce(client_run_id, run_id) AS run_id FROM agent_runs
       WHERE thread_id = ? ORDER BY id DESC`,
    ),
  };
}

export type OwnerStatements = ReturnType<typeof prepareOwnerStatements>;

/** Every statement the writer runs once it is open, prepared once, named after what it does. */
export function prepareWriterStatements(db: Database) {
  return {
    begin: db.prepare("BEGIN IMMEDIATE"),
    commit: db.prepare("COMMIT"),
    rollback: db.prepare("ROLLBACK"),
    dataVersion: db.prepare<[], number>("PRAGMA data_version").pluck(),
    savepoint: db.prepare("SAVEPOINT operation"),
    releaseSavepoint: db.prepare("RELEASE operation"),
    rollbackToSavepoint: db.prepare("ROLLBACK TO operation"),

    ...prepareOwnerStatements(db),
    runsOfOwner: db.prepare<[string], RunKeyRow>(
      "SELECT thread_id, epoch FROM run_state WHERE is_running = 1 AND owner_id = ?",
    ),
    runsOfOthers: db.prepare<[string], RunStateRow>(
      `SELECT ${RUN_STATE} FROM run_state WHERE is_running = 1 AND owner_id IS NOT ?`,
    ),
    // Epochs ascend with the rows, so the newest row tells, however many there are.
    lastEpochOfThread: db
      .prepare<[string], number>(
        `SELECT epoch FROM agent_runs WHERE thread_id = ? AND epoch IS NOT NULL
         ORDER BY id DESC LIMIT 1`,
      )
      .pluck(),
    takeFreeThread: db
      .prepare<[string, string, string, number, number, number], number>(
        `INSERT INTO run_state
           (thread_id, is_running, current_run_id, owner_id, claim_number, updated_at, epoch)
         VALUES (?, 1, ?, ?, ?, ?, ?)
         ON CONFLICT (thread_id) DO UPDATE SET
           is_running = 1, current_run_id = excluded.current_run_id, owner_id = excluded.owner_id,
           claim_number = excluded.claim_number, updated_at = excluded.updated_at,
           stop_requested = NULL, epoch = ${NEXT_EPOCH}
         WHERE is_running IS NOT 1
         RETURNING epoch`,
      )
      .pluck(),
    takeThreadOfEpoch: db.prepare<[string, string, number, number, string, number]>(
      `UPDATE run_state SET is_running = 1, current_run_id = ?, owner_id = ?, claim_number = ?,
         updated_at = ?, stop_requested = NULL, epoch = epoch + 1
       WHERE thread_id = ? AND +is_running IS NOT 1 AND epoch = ?`,
    ),
    // The owner is asked for too: an epoch may come again when someone deletes or replaces the row of a
    // run that executes, and its events are not to get into the run of the next owner.
    isHeldBy: db
      .prepare<[string, number, string], number>(
        `SELECT 1 FROM run_state
         WHERE thread_id = ? AND +is_running = 1 AND epoch = ? AND owner_id = ?`,
      )
      .pluck(),
    freeThreadHeldBy: db.prepare<[number, string, number, string]>(
      `UPDATE run_state SET is_running = 0, current_run_id = NULL, owner_id = NULL,
         stop_requested = NULL, updated_at = ?
       WHERE thread_id = ? AND +is_running = 1 AND epoch = ? AND owner_id = ?`,
    ),
    // Its owner is gone, or only slept: nothing of that claim is true any more.
    takeFromDeadOwner: db.prepare<[number, string]>(
      `UPDATE run_state SET is_running = 0, current_run_id = NULL, owner_id = NULL,
         stop_requested = NULL, updated_at = ?, epoch = ${NEXT_EPOCH}
       WHERE thread_id = ?`,
    ),

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
      [string, string, string | null, string, string, number, string | null, number]
    >(
      `INSERT INTO agent_runs
         (thread_id, run_id, client_run_id, events, input, created_at, version, agent_id, epoch)
       VALUES (?, ?, ?, ?, ?, ?, ${SCHEMA_VERSION}, ?, ?) ON CONFLICT (run_id) DO NOTHING`,
    ),

    insertSegment: db.prepare<[string, number, number, string]>(
      "INSERT INTO run_events (thread_id, epoch, seq, events) VALUES (?, ?, ?, ?)",
    ),
    // Ids as a JSON array.
    segments: db.prepare<[string], SegmentRow>(
      `SELECT seq, events FROM run_events WHERE id IN (SELECT value FROM json_each(?))
       ORDER BY id`,
    ),
    segmentsBehind: db.prepare<[number], SegmentPlaceRow>(
      "SELECT id, thread_id, epoch, seq FROM run_events WHERE id > ? ORDER BY id",
    ),
    deleteSegments: db.prepare<[string]>(
      "DELETE FROM run_events WHERE id IN (SELECT value FROM json_each(?))",
    ),
    deleteOrphanedSegments: db.prepare<[]>(
      `DELETE FROM run_events
       WHERE (thread_id, epoch) NOT IN (SELECT thread_id, epoch FROM run_state
           WHERE is_running = 1 AND epoch IS NOT NULL)
         AND (thread_id, epoch) NOT IN (SELECT thread_id, epoch FROM kept_journals)`,
    ),
    keepJournal: db.prepare<[string, number, string]>(
      `INSERT INTO kept_journals (thread_id, epoch, segment_ids) VALUES (?, ?, ?)
       ON CONFLICT DO NOTHING`,
    ),
    keptJournals: db.prepare<[], RunKeyRow>("SELECT thread_id, epoch FROM kept_journals"),
    forgetJournal: db
      .prepare<[string, number], string>(
        "DELETE FROM kept_journals WHERE thread_id = ? AND epoch = ? RETURNING segment_ids",
      )
      .pluck(),

    isMessageSeen: db
      .prepare<[string, string], number>(
        "SELECT 1 FROM thread_messages WHERE thread_id = ? AND message_id = ?",
      )
      .pluck(),
    // Ids as a JSON array.
    insertMessages: db.prepare<[string, string]>(
      `INSERT INTO thread_messages (thread_id, message_id) SELECT ?, value FROM json_each(?)
       WHERE true ON CONFLICT DO NOTHING`,
    ),
    deleteMessagesOfThread: db.prepare<[string]>("DELETE FROM thread_messages WHERE thread_id = ?"),
    threadIndex: db.prepare<[string], { indexed_up_to: number; messages_stale: number }>(
      "SELECT indexed_up_to, messages_stale FROM threads WHERE thread_id = ?",
    ),
    insertThread: db.prepare<[string, string | null, number]>(
      `INSERT INTO threads (thread_id, agent_id, created_at) VALUES (?, ?, ?)
       ON CONFLICT DO NOTHING`,
    ),
    runsBehind: db.prepare<[string, number], { id: number; events: string }>(
      "SELECT id, events FROM agent_runs WHERE thread_id = ? AND id > ? ORDER BY id",
    ),
    setIndexedUpTo: db.prepare<[number, number, string | null, string]>(
      `UPDATE threads SET indexed_up_to = ?, run_count = run_count + ?,
         agent_id = coalesce(?, agent_id)
       WHERE thread_id = ?`,
    ),
    resetThreadIndex: db.prepare<[string]>(
      "UPDATE threads SET indexed_up_to = 0, run_count = 0, messages_stale = 0 WHERE thread_id = ?",
    ),

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

export type WriterStatements = ReturnType<typeof prepareWriterStatements>;

/** The statements that serve `connect` and `isRunning`, on a reader's connection or the writer's. */
export function prepareReaderStatements(db: Database) {
  return {
    lastRowOfThread: db
      .prepare<[string], number | null>("SELECT max(id) FROM agent_runs WHERE thread_id = ?")
      .pluck(),
    runsOfThread: db.prepare<[number, string, number, number], StoredRunRow>(
      `SELECT id, coalesce(client_run_id, run_id) AS run_id,
         iif(octet_length(events) <= ?, events, NULL) AS events FROM agent_runs
       WHERE thread_id = ? AND id > ? AND id <= ? ORDER BY id`,
    ),
    eventsOfRun: db.prepare<[number], string>("SELECT events FROM agent_runs WHERE id = ?").pluck(),
    // Runs as a JSON array of pairs. The input of a run stands at seq -1, before all events.
    segmentsOfRuns: db.prepare<[number, string], FollowedSegmentRow>(
      `SELECT id, thread_id, epoch, events FROM run_events
       WHERE id > ? AND seq >= 0
         AND (thread_id, epoch) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
       ORDER BY id`,
    ),
    lastSegment: db.prepare<[], number | null>("SELECT max(id) FROM run_events").pluck(),
    ...prepareOwnerStatements(db),
  };
}

export type ReaderStatements = ReturnType<typeof prepareReaderStatements>;
