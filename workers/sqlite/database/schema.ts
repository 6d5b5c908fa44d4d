import type { Database } from "better-sqlite3";
import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { AddedColumn } from "./added-column.ts";
import { ADDED_FOR_INTERRUPTED, INTERRUPTED_INDEX } from "./interrupted-columns.ts";
import { ADDED_FOR_REMOVAL, REMOVAL_TABLES } from "./removal-tables.ts";
import {
  ADDED_FOR_VALUES,
  ADDED_TO_SHARED_LOGS,
  ADDED_TO_SHARED_VALUES,
  PART_LOGS,
  SHARED_TABLES,
} from "./shared-tables.ts";
import { ADDED_FOR_THREADS, BACKFILL_UPDATED, THREAD_TABLES } from "./thread-columns.ts";
import { ADDED_FOR_VIEWS, VIEW_TABLE } from "./view-table.ts";

/** The schema version that this code writes. Files of a newer version are refused. */
export const SCHEMA_VERSION = 6;

/** The tables of version 1, column for column: either version can open a file of the other. */
const VERSION_1 = `
CREATE TABLE IF NOT EXISTS agent_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  thread_id TEXT NOT NULL,
  run_id TEXT NOT NULL UNIQUE,
  parent_run_id TEXT,
  events TEXT NOT NULL,
  input TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  version INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS run_state (
  thread_id TEXT PRIMARY KEY,
  is_running INTEGER DEFAULT 0,
  current_run_id TEXT,
  updated_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS schema_version (
  version INTEGER PRIMARY KEY,
  applied_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_thread_id ON agent_runs(thread_id);
CREATE INDEX IF NOT EXISTS idx_parent_run_id ON agent_runs(parent_run_id);
`;

const ADDED_TO_VERSION_1: readonly AddedColumn[] = [
  ["agent_runs", "agent_id", "TEXT"],
  // Null in rows that were inserted by version 1 or by hand. The triggers below test for that.
  ["agent_runs", "epoch", "INTEGER"],
  // The client's id of the run when `run_id` holds an alias: `run_id` is UNIQUE, and a client may use
  // an id again. Null when `run_id` is the client's id.
  ["agent_runs", "client_run_id", "TEXT"],
  ["run_state", "epoch", "INTEGER"],
  ["run_state", "owner_id", "TEXT"],
  // `ClaimOp.number` of the claim that took the thread for `owner_id`.
  ["run_state", "claim_number", "INTEGER"],
  ["run_state", "stop_requested", "INTEGER"],
];

/**
 * `run_events` holds segments in the order in which they arrive, and has no index. So a batch with
 * segments of a thousand runs fills a few pages. Ordered by run, or with an index by run, each of those
 * runs would change a page of its own.
 *
 * The triggers notice the writes of other programs: a version 1 runner stores a run, or a user purges
 * rows. They mark the thread as stale. Its message ids are read again at its next claim.
 */
const VERSION_2 = `
CREATE TABLE IF NOT EXISTS run_events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  thread_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  events TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS thread_messages (
  thread_id TEXT NOT NULL,
  message_id TEXT NOT NULL,
  -- A hash of the message's content: src/events/message-digests.ts. Null in rows of schema version 2.
  digest INTEGER,
  PRIMARY KEY (thread_id, message_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS threads (
  thread_id TEXT PRIMARY KEY,
  agent_id TEXT,
  title TEXT,
  created_at INTEGER NOT NULL,
  -- Counts the runs up to the row indexed_up_to of agent_runs. Later runs are not counted yet.
  run_count INTEGER NOT NULL DEFAULT 0,
  messages_stale INTEGER NOT NULL DEFAULT 0,
  indexed_up_to INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runner_instances (
  instance_id TEXT PRIMARY KEY,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  process_start TEXT,
  lease_ms INTEGER NOT NULL,
  heartbeat_at INTEGER NOT NULL,
  heartbeat_uptime INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retained_journals (
  thread_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  -- JSON: an array of ids in run_events.
  segment_ids TEXT NOT NULL,
  PRIMARY KEY (thread_id, epoch)
) WITHOUT ROWID;
-- Covers only threads that are held. Finds those whose run was asked to stop.
CREATE INDEX IF NOT EXISTS idx_running ON run_state(stop_requested) WHERE is_running = 1;
CREATE TRIGGER IF NOT EXISTS foreign_run_inserted AFTER INSERT ON agent_runs
WHEN NEW.epoch IS NULL BEGIN
  INSERT INTO threads (thread_id, created_at, messages_stale)
  VALUES (NEW.thread_id, NEW.created_at, 1)
  ON CONFLICT (thread_id) DO UPDATE SET messages_stale = 1;
END;
CREATE TRIGGER IF NOT EXISTS run_deleted AFTER DELETE ON agent_runs BEGIN
  UPDATE threads SET run_count = run_count - (OLD.id <= indexed_up_to), messages_stale = 1
  WHERE thread_id = OLD.thread_id;
END;
CREATE TRIGGER IF NOT EXISTS run_changed AFTER UPDATE OF thread_id, events ON agent_runs BEGIN
  UPDATE threads SET messages_stale = 1 WHERE thread_id IN (OLD.thread_id, NEW.thread_id);
END;
`;

/** A file that is made by this version has them from the statements above. */
const ADDED_TO_VERSION_2: readonly AddedColumn[] = [["thread_messages", "digest", "INTEGER"]];

/** Reads an index, and of the runs only those of threads that have no row: most files have millions of others. */
const BACKFILL_THREADS = `
INSERT INTO threads (thread_id, created_at, messages_stale)
SELECT thread_id, CAST((SELECT min(created_at) FROM agent_runs r WHERE r.thread_id = known.thread_id) AS INTEGER), 1
FROM (SELECT DISTINCT thread_id FROM agent_runs) known
WHERE NOT EXISTS (SELECT 1 FROM threads t WHERE t.thread_id = known.thread_id)
`;

/**
 * Frees the threads of version 1, which wrote no owner: no process would end the runs that hold them.
 */
const FREE_OWNERLESS = `
UPDATE run_state SET is_running = 0, current_run_id = NULL WHERE is_running = 1 AND owner_id IS NULL
`;

function columnsOf(db: Database, table: string): Set<string> {
  const rows = db.prepare<[string], { name: string }>("SELECT name FROM pragma_table_info(?)");
  return new Set(rows.all(table).map((row) => row.name));
}

function addColumn(db: Database, [table, column, type]: AddedColumn): void {
  if (columnsOf(db, table).has(column)) return;
  db.exec(`ALTER TABLE ${table} ADD COLUMN ${column} ${type}`);
}

/**
 * The schema version of the file, or 0 for an empty file. Writes nothing.
 *
 * @throws {RunStoreError} `FOREIGN_FILE`, `SCHEMA_TOO_NEW`. A read may also throw an error of SQLite.
 */
export function inspectSchema(db: Database): number {
  const tables = db
    .prepare<[], { name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )
    .all();
  if (tables.length === 0) return 0;
  const runs = columnsOf(db, "agent_runs");
  const state = columnsOf(db, "run_state");
  const known = ["thread_id", "run_id", "parent_run_id", "events", "input", "created_at"];
  if (!known.every((column) => runs.has(column)) || !state.has("current_run_id")) {
    throw new RunStoreError(
      "FOREIGN_FILE",
      `expected an empty file or a file of an agent runner, got a database with the tables ${tables
        .map((table) => table.name)
        .join(", ")}`,
    );
  }
  if (!columnsOf(db, "schema_version").has("version")) return 1;
  const version = db
    .prepare<[], { version: number | null }>("SELECT max(version) AS version FROM schema_version")
    .get()?.version;
  if ((version ?? 1) > SCHEMA_VERSION) {
    throw new RunStoreError(
      "SCHEMA_TOO_NEW",
      `expected a file of schema version ${SCHEMA_VERSION} or older, got version ${version}: a newer release wrote it; update the package`,
    );
  }
  return version ?? 1;
}

/**
 * Migrates the file to `SCHEMA_VERSION` in one IMMEDIATE transaction: when two processes open the file
 * together, the first migrates the file and the second finds it migrated. Returns the version before.
 */
export function migrate(db: Database): number {
  return db
    .transaction(() => {
      const from = inspectSchema(db);
      if (from === SCHEMA_VERSION) return from;
      db.exec(VERSION_1);
      for (const column of ADDED_TO_VERSION_1) addColumn(db, column);
      db.exec(VERSION_2);
      const added = [
        ...ADDED_TO_VERSION_2,
        ...ADDED_FOR_VALUES,
        ...ADDED_FOR_THREADS,
        ...ADDED_FOR_REMOVAL,
        ...ADDED_FOR_INTERRUPTED,
        ...ADDED_FOR_VIEWS,
      ];
      for (const column of added) addColumn(db, column);
      db.exec(THREAD_TABLES);
      db.exec(INTERRUPTED_INDEX);
      db.exec(SHARED_TABLES);
      for (const column of [...ADDED_TO_SHARED_VALUES, ...ADDED_TO_SHARED_LOGS])
        addColumn(db, column);
      db.exec(PART_LOGS);
      db.exec(VIEW_TABLE);
      db.exec(REMOVAL_TABLES);
      db.exec(BACKFILL_THREADS);
      db.exec(BACKFILL_UPDATED);
      db.exec(FREE_OWNERLESS);
      db.prepare("INSERT OR REPLACE INTO schema_version (version, applied_at) VALUES (?, ?)").run(
        SCHEMA_VERSION,
        Date.now(),
      );
      return from;
    })
    .immediate();
}
