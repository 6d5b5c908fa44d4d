/** What is known of a thread besides its runs. */
export const ADDED_FOR_THREADS: readonly (readonly [
  table: string,
  column: string,
  type: string,
])[] = [
  // Whose thread it is. Null for a thread of nobody. Never changed.
  ["threads", "resource_id", "TEXT"],
  // Milliseconds since the epoch.
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
 */
export const THREAD_TABLES = `
CREATE TABLE IF NOT EXISTS removed_threads (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  last_epoch INTEGER NOT NULL
);
`;
