import type { AddedColumn } from "./added-column.ts";

export const ADDED_FOR_REMOVAL: readonly AddedColumn[] = [
  // Whether runs of the thread were removed: the file may have remains of them that nobody can name any more.
  ["threads", "runs_removed", "INTEGER NOT NULL DEFAULT 0"],
];

/**
 * `unfinished_threads`: threads that are being removed, or made as a fork, in several transactions. To
 * readers they are unknown, and no run gets them. When the instance that works on one is dead, another one
 * carries on with a removal, and removes what there is of a fork.
 *
 * `borrowed_logs`: the threads that use values in a log of another thread, from which they were forked.
 * Only the thread in `shared_logs` appends to a log. The logs of a thread go to a borrower when the thread is
 * removed.
 *
 * `unfinished_erasures`: threads and resources that are erased, and of which the files may still have traces.
 * They are named by digests of their ids. A row stays until the files were searched, whoever does that.
 *
 * `purge_lease`: one row while an instance purges.
 */
export const REMOVAL_TABLES = `
CREATE TABLE IF NOT EXISTS unfinished_threads (
  thread_id TEXT PRIMARY KEY,
  resource_id TEXT,
  -- The last row of agent_runs to remove. Later rows of the thread come from another program.
  up_to INTEGER NOT NULL,
  -- 0 for a removal, 1 for a fork, 2 for an import.
  is_fork INTEGER NOT NULL,
  -- The instance that works on it.
  owner_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS borrowed_logs (
  thread_id TEXT NOT NULL,
  log INTEGER NOT NULL,
  PRIMARY KEY (thread_id, log)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idx_borrowed_logs ON borrowed_logs(log);
CREATE TABLE IF NOT EXISTS unfinished_erasures (
  -- Empty for a whole resource.
  thread_id TEXT NOT NULL,
  resource_id TEXT
);
CREATE TABLE IF NOT EXISTS purge_lease (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  instance_id TEXT NOT NULL
);
CREATE TRIGGER IF NOT EXISTS run_removed AFTER DELETE ON agent_runs BEGIN
  UPDATE threads SET runs_removed = 1 WHERE thread_id = OLD.thread_id AND runs_removed = 0;
END;
`;
