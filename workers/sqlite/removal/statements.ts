import type { Database } from "better-sqlite3";
import { MARK_LENDERS } from "../values/statements.ts";

/** Removes what belongs to a thread. The statements with a number delete at most so many rows. */
export function prepareRemovalStatements(db: Database) {
  return {
    lastRowOfThread: db
      .prepare<[string], number | null>("SELECT max(id) FROM agent_runs WHERE thread_id = ?")
      .pluck(),
    insertUnfinished: db.prepare<[string, string | null, number, string | null]>(
      `INSERT INTO unfinished_threads (thread_id, resource_id, up_to, maker_id) VALUES (?, ?, ?, ?)`,
    ),
    endUnfinished: db.prepare<[string]>("DELETE FROM unfinished_threads WHERE thread_id = ?"),
    hasUnfinished: db.prepare<[], number>("SELECT 1 FROM unfinished_threads LIMIT 1").pluck(),
    pendingRemovals: db
      .prepare<[], string>("SELECT thread_id FROM unfinished_threads WHERE maker_id IS NULL")
      .pluck(),
    // Forks whose maker has no row any more: it is dead. The maker in the parameter is alive.
    abandonForks: db.prepare<[string, string]>(
      `UPDATE unfinished_threads SET maker_id = NULL
       WHERE maker_id IS NOT NULL AND maker_id <> ?
         AND (maker_id = ? OR maker_id NOT IN (SELECT instance_id FROM runner_instances))`,
    ),
    abandonFork: db.prepare<[number, string]>(
      "UPDATE unfinished_threads SET maker_id = NULL, up_to = ? WHERE thread_id = ?",
    ),
    raiseRemovedEpoch: db.prepare<[number]>(
      `INSERT INTO removed_threads (id, last_epoch) VALUES (1, ?)
       ON CONFLICT (id) DO UPDATE SET last_epoch = max(last_epoch, excluded.last_epoch)`,
    ),
    deleteThread: db.prepare<[string]>("DELETE FROM threads WHERE thread_id = ?"),
    deleteState: db.prepare<[string]>("DELETE FROM run_state WHERE thread_id = ?"),
    deleteViews: db.prepare<[string]>("DELETE FROM thread_views WHERE thread_id = ?"),
    // Give the bytes of each row.
    deleteRuns: db
      .prepare<[string, number, number], number>(
        `DELETE FROM agent_runs WHERE id IN
           (SELECT id FROM agent_runs WHERE thread_id = ? AND id <= ? ORDER BY id LIMIT ?)
         RETURNING octet_length(events) + octet_length(input)`,
      )
      .pluck(),
    deleteMessages: db.prepare<[string, string, number]>(
      `DELETE FROM thread_messages WHERE thread_id = ? AND message_id IN
         (SELECT message_id FROM thread_messages WHERE thread_id = ? LIMIT ?)`,
    ),
    deleteValues: db
      .prepare<[string, number], number>(
        `DELETE FROM shared_values WHERE id IN
           (SELECT id FROM shared_values
            WHERE log IN (SELECT log FROM shared_logs WHERE thread_id = ?) LIMIT ?)
         RETURNING octet_length(text)`,
      )
      .pluck(),
    deleteLogs: db.prepare<[string, number]>(
      `DELETE FROM shared_logs WHERE log IN
         (SELECT log FROM shared_logs WHERE thread_id = ? LIMIT ?)`,
    ),
  };
}

export type RemovalStatements = ReturnType<typeof prepareRemovalStatements>;

/** Values that several threads use since a fork. */
export function prepareLendingStatements(db: Database) {
  return {
    markLenders: db.prepare<[string]>(MARK_LENDERS),
    endBorrowing: db.prepare<[string]>("DELETE FROM borrowed_logs WHERE thread_id = ?"),
    markBorrowers: db.prepare<[string]>(
      `UPDATE threads SET values_stale = 1 WHERE thread_id IN
         (SELECT min(borrowed_logs.thread_id) FROM borrowed_logs JOIN shared_logs USING (log)
          WHERE shared_logs.thread_id = ? GROUP BY log)`,
    ),
    giveLogs: db.prepare<[string], { readonly thread_id: string; readonly log: number }>(
      `UPDATE shared_logs SET thread_id =
         (SELECT min(borrowed_logs.thread_id) FROM borrowed_logs WHERE log = shared_logs.log)
       WHERE thread_id = ? AND log IN (SELECT log FROM borrowed_logs)
       RETURNING thread_id, log`,
    ),
    endBorrowingOf: db.prepare<[string, number]>(
      "DELETE FROM borrowed_logs WHERE thread_id = ? AND log = ?",
    ),
    // All logs that a thread may use: which of them it uses is seen by a sweep.
    borrowLogs: db.prepare<[{ readonly borrower: string; readonly lender: string }]>(
      `INSERT INTO borrowed_logs (thread_id, log)
       SELECT @borrower, log FROM shared_logs WHERE thread_id = @lender
       UNION SELECT @borrower, log FROM borrowed_logs WHERE thread_id = @lender`,
    ),
  };
}

export type LendingStatements = ReturnType<typeof prepareLendingStatements>;

/** What an erasure removes at once, and what it reads of it before. */
export function prepareEraseStatements(db: Database) {
  return {
    threadsOfResource: db.prepare<[string, string, number], { readonly thread_id: string }>(
      `SELECT thread_id FROM threads WHERE resource_id = ? AND thread_id > ?
       ORDER BY thread_id LIMIT ?`,
    ),
    unfinishedOfResource: db
      .prepare<[string], string>(
        "SELECT thread_id FROM unfinished_threads WHERE resource_id = ? AND maker_id IS NULL",
      )
      .pluck(),
    runsToErase: db.prepare<[string, number, number], RunToErase>(
      `SELECT id, run_id, client_run_id, events, input, shared_events, shared_input FROM agent_runs
       WHERE thread_id = ? AND id > ? ORDER BY id LIMIT ?`,
    ),
    messageIdsAfter: db
      .prepare<[string, string, number], string>(
        `SELECT message_id FROM thread_messages WHERE thread_id = ? AND message_id > ?
         ORDER BY message_id LIMIT ?`,
      )
      .pluck(),
    valuesAfter: db.prepare<
      [string, number, number],
      { readonly id: number; readonly text: string }
    >(
      `SELECT id, text FROM shared_values
       WHERE log IN (SELECT log FROM shared_logs WHERE thread_id = ?) AND id > ?
       ORDER BY id LIMIT ?`,
    ),
    threadToErase: db.prepare<
      [string],
      { readonly title: string | null; readonly metadata: string | null }
    >("SELECT title, metadata FROM threads WHERE thread_id = ?"),
    factsToErase: db.prepare<[string], { readonly facts: string | null; readonly words: string }>(
      "SELECT facts, words FROM thread_facts WHERE thread_id = ?",
    ),
    viewsToErase: db
      .prepare<[string], Uint8Array>("SELECT view FROM thread_views WHERE thread_id = ?")
      .pluck(),
    segmentsToErase: db
      .prepare<[string], string>("SELECT events FROM run_events WHERE thread_id = ?")
      .pluck(),
    forgetRetainedJournals: db
      .prepare<[string], string>(
        "DELETE FROM retained_journals WHERE thread_id = ? RETURNING segment_ids",
      )
      .pluck(),
    // Writers remember the ids of rows that they will delete, and SQLite gives the ids of deleted rows to new
    // rows. So rows of ended runs are emptied here, and deleted by whoever remembers them.
    emptySegments: db.prepare<[string]>(
      `UPDATE run_events SET thread_id = '', epoch = 0, seq = 0, events = '[]' WHERE thread_id = ?`,
    ),
    // Threads whose values are swept: those that share logs with the thread.
    sharers: db
      .prepare<[{ readonly threadId: string }], string>(
        `SELECT shared_logs.thread_id FROM borrowed_logs JOIN shared_logs USING (log)
         WHERE borrowed_logs.thread_id = @threadId AND shared_logs.thread_id IS NOT NULL
         UNION SELECT borrowed_logs.thread_id FROM borrowed_logs JOIN shared_logs USING (log)
         WHERE shared_logs.thread_id = @threadId`,
      )
      .pluck(),
    forksAfter: db.prepare<
      [string, number],
      { readonly thread_id: string; readonly forked_from: string | null }
    >("SELECT thread_id, forked_from FROM threads WHERE thread_id > ? ORDER BY thread_id LIMIT ?"),
    forgetOrigin: db.prepare<[string]>("UPDATE threads SET forked_from = NULL WHERE thread_id = ?"),
    mergeSearch: db.prepare<[number]>(
      "INSERT INTO thread_search (thread_search, rank) VALUES ('merge', ?)",
    ),
  };
}

export interface RunToErase {
  readonly id: number;
  readonly run_id: string;
  readonly client_run_id: string | null;
  readonly events: string;
  readonly input: string;
  readonly shared_events: string | null;
  readonly shared_input: string | null;
}

export type EraseStatements = ReturnType<typeof prepareEraseStatements>;
