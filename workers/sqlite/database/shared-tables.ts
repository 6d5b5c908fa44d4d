import type { AddedColumn } from "./added-column.ts";

/**
 * Columns with the places of a row's values: see `packPlaces`. Null if no value was taken out.
 */
export const ADDED_FOR_VALUES: readonly AddedColumn[] = [
  ["agent_runs", "shared_events", "TEXT"],
  ["agent_runs", "shared_input", "TEXT"],
  // Whether rows of the thread with values were deleted or changed: see `StaleValues`.
  ["threads", "values_stale", "INTEGER NOT NULL DEFAULT 0"],
  // How many times values of the thread were deleted.
  ["threads", "value_sweeps", "INTEGER NOT NULL DEFAULT 0"],
];

/** Columns that `shared_values` of schema version 4 has not. */
export const ADDED_TO_SHARED_VALUES: readonly AddedColumn[] = [
  ["shared_values", "holder", "INTEGER"],
  ["shared_values", "skip", "INTEGER NOT NULL DEFAULT 0"],
];

/** Columns that `shared_logs` of schema version 5 has not. */
export const ADDED_TO_SHARED_LOGS: readonly AddedColumn[] = [["shared_logs", "epoch", "INTEGER"]];

/** Needs the columns that are added. In schema version 5, the trigger knows no runs in flight. */
export const PART_LOGS = `
DROP TRIGGER IF EXISTS run_with_values_moved;
CREATE TRIGGER run_with_values_moved AFTER UPDATE OF thread_id ON agent_runs
WHEN OLD.thread_id IS NOT NEW.thread_id
  AND (OLD.shared_events IS NOT NULL OR OLD.shared_input IS NOT NULL) BEGIN
  UPDATE shared_logs SET thread_id = NULL WHERE thread_id = OLD.thread_id AND epoch IS NULL;
END;
CREATE INDEX IF NOT EXISTS idx_part_logs ON shared_logs(epoch) WHERE epoch IS NOT NULL;
`;

/**
 * The values that repeat from run to run: see `ThreadValues`.
 *
 * A log belongs to a thread. It has no thread, and is never swept, when a row with pieces of it was
 * moved to another thread. `shared_values` has a row for each text that was appended to a log. The texts of
 * several rows may be stored as one, in the first of these rows: see `storeChunks`. These rows are of the logs of
 * one thread, and are swept together.
 *
 * Values do not belong to the run that added them, so that a purge of runs leaves the later runs whole.
 * The triggers notice such a purge. They also notice when another program rewrites the events or the
 * input of a row: the row then has only the rewritten text.
 */
export const SHARED_TABLES = `
CREATE TABLE IF NOT EXISTS shared_logs (
  log INTEGER PRIMARY KEY AUTOINCREMENT,
  thread_id TEXT,
  -- The epoch of a run in flight that has parts in this log, else null: see PartLog.
  epoch INTEGER
);
CREATE INDEX IF NOT EXISTS idx_shared_logs_thread ON shared_logs(thread_id);
CREATE TABLE IF NOT EXISTS shared_values (
  id INTEGER PRIMARY KEY,
  log INTEGER NOT NULL,
  -- Where in the log the text begins, and its length, both in UTF-16 units.
  at INTEGER NOT NULL,
  length INTEGER NOT NULL,
  -- A StoredText. Empty where another row holds the text.
  text TEXT NOT NULL,
  -- The row that holds the text of this row. Null if it is this row.
  holder INTEGER,
  -- Where the text of this row begins in the text of its holder, in UTF-16 units.
  skip INTEGER NOT NULL DEFAULT 0,
  UNIQUE (log, at)
);
CREATE INDEX IF NOT EXISTS idx_values_stale ON threads(values_stale) WHERE values_stale = 1;
CREATE TRIGGER IF NOT EXISTS run_with_values_deleted AFTER DELETE ON agent_runs
WHEN OLD.shared_events IS NOT NULL OR OLD.shared_input IS NOT NULL BEGIN
  UPDATE threads SET values_stale = 1 WHERE thread_id = OLD.thread_id;
END;
CREATE TRIGGER IF NOT EXISTS events_with_values_changed AFTER UPDATE OF events ON agent_runs
WHEN OLD.shared_events IS NOT NULL AND OLD.events IS NOT NEW.events BEGIN
  UPDATE agent_runs SET shared_events = NULL WHERE id = NEW.id;
  UPDATE threads SET values_stale = 1 WHERE thread_id = NEW.thread_id;
END;
CREATE TRIGGER IF NOT EXISTS input_with_values_changed AFTER UPDATE OF input ON agent_runs
WHEN OLD.shared_input IS NOT NULL AND OLD.input IS NOT NEW.input BEGIN
  UPDATE agent_runs SET shared_input = NULL WHERE id = NEW.id;
  UPDATE threads SET values_stale = 1 WHERE thread_id = NEW.thread_id;
END;
`;
