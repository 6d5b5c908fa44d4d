import type { AddedColumn } from "./added-column.ts";

/** What is known of a thread besides its runs. */
export const ADDED_FOR_THREADS: readonly AddedColumn[] = [
  // Whose thread it is. Null for a thread of nobody. Never changed.
  ["threads", "resource_id", "TEXT"],
  // When a run began or ended last, in milliseconds since the epoch: see `ThreadTouches`.
  ["threads", "updated_at", "INTEGER NOT NULL DEFAULT 0"],
  ["threads", "archived", "INTEGER NOT NULL DEFAULT 0"],
  // JSON of an object, or null.
  ["threads", "metadata", "TEXT"],
  // JSON of a `ForkOrigin`, or null.
  ["threads", "forked_from", "TEXT"],
];

/**
 * `removed_threads` has one row: an epoch higher than those of all threads that were removed. A thread that
 * is made again begins behind it, so that late writes for the removed thread are refused. At least one
 * epoch lies between: an instance that remembers the removed thread takes its next epoch for its own. The
 * row names no thread.
 *
 * `thread_facts` holds what is derived from the runs of a thread: see `ThreadIndexer`, which makes it in the
 * background.
 *
 * `thread_search` holds the words of titles and messages, without the texts. The ids of its rows say to which
 * of the `search_ranges` a row belongs, and so to which thread: see `search-rows.ts`.
 *
 * `thread_metadata` has the fields of `threads.metadata` by which a list is filtered.
 *
 * Each list of threads is read along one index, in its order. Behind the order, the indexes have the id of
 * the agent, so that threads of other agents are passed over without being read.
 */
export const THREAD_TABLES = `
CREATE TABLE IF NOT EXISTS removed_threads (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  last_epoch INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_threads_updated
  ON threads(resource_id, archived, updated_at, thread_id, agent_id);
CREATE INDEX IF NOT EXISTS idx_threads_created
  ON threads(resource_id, archived, created_at, thread_id, agent_id);
CREATE INDEX IF NOT EXISTS idx_all_threads_updated
  ON threads(archived, updated_at, thread_id, agent_id);
CREATE INDEX IF NOT EXISTS idx_all_threads_created
  ON threads(archived, created_at, thread_id, agent_id);

CREATE TABLE IF NOT EXISTS thread_facts (
  thread_id TEXT PRIMARY KEY,
  -- The last row of the thread in agent_runs that the facts know.
  up_to INTEGER NOT NULL DEFAULT 0,
  -- JSON of a ThreadFacts.
  facts TEXT,
  -- The range that takes the next words of the thread, and how many rows it has. Null for none.
  range INTEGER,
  range_rows INTEGER NOT NULL DEFAULT 0,
  -- The range with the words of the title that was set.
  title_range INTEGER,
  -- Words in the ranges: the latest, separated by blanks.
  words TEXT NOT NULL DEFAULT '',
  -- 1: runs that the facts know were deleted or changed. 2: the facts are being made again.
  stale INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS idx_facts_stale ON thread_facts(stale) WHERE stale <> 0;
CREATE TABLE IF NOT EXISTS search_ranges (
  range INTEGER PRIMARY KEY AUTOINCREMENT,
  -- Null for words that are to be removed.
  thread_id TEXT
);
CREATE INDEX IF NOT EXISTS idx_search_ranges_thread ON search_ranges(thread_id);
CREATE TABLE IF NOT EXISTS facts_checkpoint (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  -- Rows of agent_runs up to this id are known to the facts of their threads.
  up_to INTEGER NOT NULL
);
CREATE VIRTUAL TABLE IF NOT EXISTS thread_search USING fts5(
  words, content='', contentless_delete=1, detail=none, prefix='1 2 3', tokenize='ascii'
);
CREATE TABLE IF NOT EXISTS thread_metadata (
  key TEXT NOT NULL,
  -- JSON of a string, a number, true, false, or null.
  value TEXT NOT NULL,
  thread_id TEXT NOT NULL,
  PRIMARY KEY (key, value, thread_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idx_metadata_thread ON thread_metadata(thread_id);
-- The indexer merges pages of words between the batches, and few at a time.
INSERT INTO thread_search (thread_search, rank) VALUES ('automerge', 0);
CREATE TRIGGER IF NOT EXISTS fork_made AFTER INSERT ON threads WHEN NEW.forked_from IS NOT NULL BEGIN
  INSERT INTO thread_facts (thread_id, stale) VALUES (NEW.thread_id, 1)
  ON CONFLICT (thread_id) DO UPDATE SET stale = 1;
END;
CREATE TRIGGER IF NOT EXISTS thread_removed AFTER DELETE ON threads BEGIN
  DELETE FROM thread_metadata WHERE thread_id = OLD.thread_id;
  DELETE FROM thread_facts WHERE thread_id = OLD.thread_id;
  UPDATE search_ranges SET thread_id = NULL WHERE thread_id = OLD.thread_id;
END;
CREATE TRIGGER IF NOT EXISTS run_of_facts_deleted AFTER DELETE ON agent_runs BEGIN
  UPDATE thread_facts SET stale = 1 WHERE thread_id = OLD.thread_id AND up_to >= OLD.id;
END;
CREATE TRIGGER IF NOT EXISTS run_of_facts_changed AFTER UPDATE OF thread_id, events ON agent_runs BEGIN
  UPDATE thread_facts SET stale = 1
  WHERE thread_id IN (OLD.thread_id, NEW.thread_id) AND up_to >= NEW.id;
END;
CREATE TRIGGER IF NOT EXISTS foreign_run_of_facts AFTER INSERT ON agent_runs
WHEN NEW.epoch IS NULL BEGIN
  UPDATE thread_facts SET stale = 1 WHERE thread_id = NEW.thread_id AND up_to >= NEW.id;
END;
`;

/**
 * Threads of older versions: the row of `run_state` says when a run began or ended last. Another program may have
 * stored a text there. SQLite sorts texts behind all numbers, and no list would come to the thread: so it is cast.
 */
export const BACKFILL_UPDATED = `
UPDATE threads SET updated_at = coalesce(
  (SELECT CAST(updated_at AS INTEGER) FROM run_state WHERE run_state.thread_id = threads.thread_id),
  created_at)
WHERE updated_at = 0
`;
