import type { Database } from "better-sqlite3";
import type { StoredText } from "../values/packed-text.ts";

/** What an erasure removes at once, and what it reads of it before. */
export function prepareEraseStatements(db: Database) {
  return {
    threadsOfResource: db.prepare<[string, string, number], { readonly thread_id: string }>(
      `SELECT thread_id FROM threads WHERE resource_id = ? AND thread_id > ?
       ORDER BY thread_id LIMIT ?`,
    ),
    unfinishedOfResource: db
      .prepare<[string], string>(
        "SELECT thread_id FROM unfinished_threads WHERE resource_id = ? AND is_fork = 0",
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
      { readonly id: number; readonly text: StoredText }
    >(
      `SELECT id, text FROM shared_values
       WHERE log IN (SELECT log FROM shared_logs WHERE thread_id = ?) AND id > ?
       ORDER BY id LIMIT ?`,
    ),
    threadToErase: db.prepare<
      [string],
      {
        readonly title: string | null;
        readonly metadata: string | null;
        readonly runs_removed: number;
      }
    >("SELECT title, metadata, runs_removed FROM threads WHERE thread_id = ?"),
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
    unfinishedErasure: db
      .prepare<[string], string | null>(
        "SELECT resource_id FROM unfinished_erasures WHERE thread_id = ?",
      )
      .pluck(),
    isErasing: db
      .prepare<[string], number>("SELECT 1 FROM unfinished_erasures WHERE resource_id = ? LIMIT 1")
      .pluck(),
    // The threads of a target whose erasure has begun.
    begunThreads: db
      .prepare<[ErasureTarget], string>(
        `SELECT thread_id FROM unfinished_erasures
         WHERE thread_id <> '' AND resource_id IS @resource AND @thread IN ('', thread_id)`,
      )
      .pluck(),
    // Threads that runs in flight have written of, or runs that ended a short time ago.
    threadsWithRemains: db
      .prepare<[], string>(
        `SELECT thread_id FROM retained_journals UNION SELECT thread_id FROM run_events
         UNION SELECT thread_id FROM shared_logs WHERE epoch IS NOT NULL AND thread_id IS NOT NULL`,
      )
      .pluck(),
    beginErasure: db.prepare<[ErasureTarget]>(
      `INSERT INTO unfinished_erasures (thread_id, resource_id) SELECT @thread, @resource
       WHERE NOT EXISTS (SELECT 1 FROM unfinished_erasures
         WHERE thread_id = @thread AND resource_id IS @resource)`,
    ),
    // With a resource, all its threads are erased.
    endErasure: db.prepare<[ErasureTarget]>(
      `DELETE FROM unfinished_erasures
       WHERE resource_id IS @resource AND @thread IN ('', thread_id)`,
    ),
    forgetOrigin: db.prepare<[string]>("UPDATE threads SET forked_from = NULL WHERE thread_id = ?"),
  };
}

/**
 * What is erased: a thread, or all threads of a resource. Both are digests of ids: the ids themselves have to go
 * with the rest, while a row that names them stays to the end.
 */
export interface ErasureTarget {
  /** Empty for a resource. */
  readonly thread: string;
  /** Null for threads of nobody. */
  readonly resource: string | null;
}

export interface RunToErase {
  readonly id: number;
  readonly run_id: string;
  readonly client_run_id: string | null;
  readonly events: string;
  readonly input: string;
  readonly shared_events: StoredText | null;
  readonly shared_input: StoredText | null;
}

export type EraseStatements = ReturnType<typeof prepareEraseStatements>;
