import type { Database } from "better-sqlite3";

export interface PurgeThreadRow {
  readonly thread_id: string;
  readonly resource_id: string | null;
  readonly updated_at: number;
  /** When a run last began or ended. `updated_at` is written some time later. */
  readonly state_at: number | null;
  readonly archived: number;
}

interface PageParameters {
  /** 0: only archived threads. */
  readonly open: number;
  readonly resourceId?: string | null;
  /** The page begins behind the thread with this `updated_at` and id. */
  readonly updatedAt: number;
  readonly threadId: string;
  readonly limit: number;
}

interface SizeRow {
  readonly runs: number;
  readonly bytes: number;
  /** Null if there was no row. */
  readonly last: number | null;
}

const PAGE_COLUMNS = `thread_id, resource_id, updated_at, archived,
  (SELECT s.updated_at FROM run_state s WHERE s.thread_id = threads.thread_id) AS state_at`;
const PAGE_ORDER = "ORDER BY updated_at, thread_id LIMIT @limit";
const BEHIND = "(updated_at, thread_id) > (@updatedAt, @threadId)";

/** What a purge reads and changes, besides what every removal does. */
export function preparePurgeStatements(db: Database) {
  return {
    countThreads: db
      .prepare<[number, number, string | null], number>(
        "SELECT count(*) FROM threads WHERE archived >= ? AND (? OR resource_id IS ?)",
      )
      .pluck(),
    // The threads that were updated the longest ago come first. Each half is read along an index.
    oldestThreads: db.prepare<[PageParameters], PurgeThreadRow>(
      `SELECT ${PAGE_COLUMNS} FROM threads WHERE archived = 0 AND @open AND ${BEHIND}
       UNION ALL SELECT ${PAGE_COLUMNS} FROM threads WHERE archived = 1 AND ${BEHIND} ${PAGE_ORDER}`,
    ),
    oldestThreadsOf: db.prepare<[PageParameters], PurgeThreadRow>(
      `SELECT ${PAGE_COLUMNS} FROM threads
       WHERE resource_id IS @resourceId AND archived = 0 AND @open AND ${BEHIND}
       UNION ALL SELECT ${PAGE_COLUMNS} FROM threads
       WHERE resource_id IS @resourceId AND archived = 1 AND ${BEHIND} ${PAGE_ORDER}`,
    ),
    isHeld: db
      .prepare<[string], number>("SELECT 1 FROM run_state WHERE thread_id = ? AND +is_running = 1")
      .pluck(),
    thread: db.prepare<[string], PurgeThreadRow>(
      `SELECT ${PAGE_COLUMNS} FROM threads WHERE thread_id = ?`,
    ),
    // The last row that is not among the latest rows of the thread, so many of them.
    rowBefore: db
      .prepare<[string, number], number>(
        "SELECT id FROM agent_runs WHERE thread_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?",
      )
      .pluck(),
    sizeOfRuns: db.prepare<[string, number, number, number], SizeRow>(
      `SELECT count(*) AS runs, coalesce(sum(bytes), 0) AS bytes, max(id) AS last FROM
         (SELECT id, octet_length(events) + octet_length(input) AS bytes FROM agent_runs
          WHERE thread_id = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?)`,
    ),
    sizeOfValues: db
      .prepare<[string], number>(
        `SELECT coalesce(sum(octet_length(text)), 0) FROM shared_values
         WHERE log IN (SELECT log FROM shared_logs WHERE thread_id = ?)`,
      )
      .pluck(),
    purgeLease: db.prepare<[], string>("SELECT instance_id FROM purge_lease").pluck(),
    takePurgeLease: db.prepare<[string]>(
      `INSERT INTO purge_lease (id, instance_id) VALUES (1, ?)
       ON CONFLICT (id) DO UPDATE SET instance_id = excluded.instance_id`,
    ),
    endPurgeLease: db.prepare<[string]>("DELETE FROM purge_lease WHERE instance_id = ?"),
  };
}

export type PurgeStatements = ReturnType<typeof preparePurgeStatements>;

/** Removes the oldest runs of a thread that stays. */
export function prepareShortenStatements(db: Database) {
  return {
    threadState: db.prepare<
      [string],
      { readonly indexed_up_to: number; readonly messages_stale: number }
    >("SELECT indexed_up_to, messages_stale FROM threads WHERE thread_id = ?"),
    // The messages of removed runs stay known: a client sends its whole list again.
    setMessagesStale: db.prepare<[number, string]>(
      "UPDATE threads SET messages_stale = ? WHERE thread_id = ?",
    ),
    // Other instances then read again what they remember of the thread: see `MessageIndex`.
    raiseEpoch: db.prepare<[string]>(
      "UPDATE run_state SET epoch = epoch + 1 WHERE thread_id = ? AND epoch IS NOT NULL",
    ),
  };
}

export type ShortenStatements = ReturnType<typeof prepareShortenStatements>;
