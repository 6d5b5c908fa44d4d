/**
 * `unfinished_threads`: threads that are being removed, or made as a fork, in several transactions. To
 * readers they are unknown, and no run gets them. Whoever is alive carries on with a removal. A fork whose
 * maker is dead is removed.
 *
 * `borrowed_logs`: the threads that use values in a log of another thread, from which they were forked.
 * Only the thread in `shared_logs` appends to a log. A log goes to a borrower when its thread is removed.
 *
 * `purge_lease`: one row while an instance purges.
 */
export const REMOVAL_TABLES = `
CREATE TABLE IF NOT EXISTS unfinished_threads (
  thread_id TEXT PRIMARY KEY,
  resource_id TEXT,
  -- The last row of agent_runs to remove. Later rows of the thread come from another program.
  up_to INTEGER NOT NULL,
  -- The instance that makes the fork. Null for a removal.
  maker_id TEXT
);
CREATE TABLE IF NOT EXISTS borrowed_logs (
  thread_id TEXT NOT NULL,
  log INTEGER NOT NULL,
  PRIMARY KEY (thread_id, log)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idx_borrowed_logs ON borrowed_logs(log);
CREATE TABLE IF NOT EXISTS purge_lease (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  instance_id TEXT NOT NULL
);
`;
