import type { Database } from "better-sqlite3";
import type { UnfinishedThreadRow } from "../instances/statements.ts";
import { MARK_LENDERS } from "../values/statements.ts";

/** Removes what belongs to a thread. The statements with a number delete at most so many rows. */
export function prepareRemovalStatements(db: Database) {
  return {
    lastRowOfThread: db
      .prepare<[string], number | null>("SELECT max(id) FROM agent_runs WHERE thread_id = ?")
      .pluck(),
    insertUnfinished: db.prepare<
      [
        ...[threadId: string, resourceId: string | null],
        ...[upTo: number, isFork: number, ownerId: string],
      ]
    >(
      `INSERT INTO unfinished_threads (thread_id, resource_id, up_to, is_fork, owner_id)
       VALUES (?, ?, ?, ?, ?)`,
    ),
    endUnfinished: db.prepare<[string]>("DELETE FROM unfinished_threads WHERE thread_id = ?"),
    unfinishedThreads: db.prepare<[], UnfinishedThreadRow & { readonly thread_id: string }>(
      "SELECT thread_id, resource_id, up_to, is_fork, owner_id FROM unfinished_threads",
    ),
    hasUnfinished: db.prepare<[], number>("SELECT 1 FROM unfinished_threads LIMIT 1").pluck(),
    // Takes over what a dead instance has left. `own` 1: also what this instance has left.
    takeOver: db
      .prepare<[{ readonly instanceId: string; readonly own: number }], string>(
        `UPDATE unfinished_threads SET is_fork = 0, owner_id = @instanceId
         WHERE iif(owner_id = @instanceId, @own,
           owner_id NOT IN (SELECT instance_id FROM runner_instances))
         RETURNING thread_id`,
      )
      .pluck(),
    abandonFork: db.prepare<[string]>(
      "UPDATE unfinished_threads SET is_fork = 0 WHERE thread_id = ?",
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
    borrowerOf: db
      .prepare<[string], string | null>(
        `SELECT min(borrowed_logs.thread_id) FROM borrowed_logs JOIN shared_logs USING (log)
         WHERE shared_logs.thread_id = ?`,
      )
      .pluck(),
    markStale: db.prepare<[string]>("UPDATE threads SET values_stale = 1 WHERE thread_id = ?"),
    giveLogs: db.prepare<[{ readonly borrower: string; readonly lender: string }]>(
      "UPDATE shared_logs SET thread_id = @borrower, epoch = NULL WHERE thread_id = @lender",
    ),
    endBorrowingOfOwn: db.prepare<[{ readonly borrower: string }]>(
      `DELETE FROM borrowed_logs WHERE thread_id = @borrower
         AND log IN (SELECT log FROM shared_logs WHERE thread_id = @borrower)`,
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
