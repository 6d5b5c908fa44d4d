import type { Database } from "better-sqlite3";
import { prepareReadValueStatements, type StoredEventsRow } from "../values/statements.ts";

/** The columns that identify a run. */
export interface RunKeyRow {
  readonly thread_id: string;
  readonly epoch: number;
}

export interface SegmentRow {
  readonly seq: number;
  readonly events: string;
}

/** A segment's place, without its events. */
export interface SegmentPlaceRow extends RunKeyRow {
  readonly id: number;
  readonly seq: number;
}

/** The journals: segments of runs in flight. */
export function prepareJournalStatements(db: Database) {
  return {
    runsOfOwner: db.prepare<[string], RunKeyRow>(
      "SELECT thread_id, epoch FROM run_state WHERE is_running = 1 AND owner_id = ?",
    ),
    insertSegment: db.prepare<[string, number, number, string]>(
      "INSERT INTO run_events (thread_id, epoch, seq, events) VALUES (?, ?, ?, ?)",
    ),
    // Ids as a JSON array.
    segments: db.prepare<[string], SegmentRow>(
      `SELECT seq, events FROM run_events WHERE id IN (SELECT value FROM json_each(?))
       ORDER BY id`,
    ),
    // Reads only the lengths of the segments.
    bytesOfSegments: db
      .prepare<[string], number>(
        `SELECT coalesce(sum(octet_length(events)), 0) FROM run_events
         WHERE id IN (SELECT value FROM json_each(?))`,
      )
      .pluck(),
    segmentsBehind: db.prepare<[number], SegmentPlaceRow>(
      "SELECT id, thread_id, epoch, seq FROM run_events WHERE id > ? ORDER BY id",
    ),
    deleteSegments: db.prepare<[string]>(
      "DELETE FROM run_events WHERE id IN (SELECT value FROM json_each(?))",
    ),
    deleteOrphanedSegments: db.prepare<[]>(
      `DELETE FROM run_events
       WHERE (thread_id, epoch) NOT IN (SELECT thread_id, epoch FROM run_state
           WHERE is_running = 1 AND epoch IS NOT NULL)
         AND (thread_id, epoch) NOT IN (SELECT thread_id, epoch FROM retained_journals)`,
    ),
  };
}

export type JournalStatements = ReturnType<typeof prepareJournalStatements>;

interface ThreadIndexRow {
  readonly resource_id: string | null;
  readonly indexed_up_to: number;
  readonly messages_stale: number;
}

/** The messages that a thread has stored: their ids, and digests of their content. */
export function prepareMessageStatements(db: Database) {
  return {
    ...prepareReadValueStatements(db),
    // 0 (`UNKNOWN_DIGEST`) for a row without a digest.
    messageDigest: db
      .prepare<[string, string], number>(
        "SELECT coalesce(digest, 0) FROM thread_messages WHERE thread_id = ? AND message_id = ?",
      )
      .pluck(),
    // Messages as a JSON array of pairs: id and digest.
    insertMessages: db.prepare<[string, string]>(
      `INSERT INTO thread_messages (thread_id, message_id, digest)
       SELECT ?, value ->> 0, value ->> 1 FROM json_each(?)
       WHERE true ON CONFLICT DO UPDATE SET digest = excluded.digest
       WHERE digest IS NOT excluded.digest`,
    ),
    deleteMessagesOfThread: db.prepare<[string]>("DELETE FROM thread_messages WHERE thread_id = ?"),
    threadIndex: db.prepare<[string], ThreadIndexRow>(
      "SELECT resource_id, indexed_up_to, messages_stale FROM threads WHERE thread_id = ?",
    ),
    addThread: db.prepare<[string, number, number]>(
      "INSERT INTO threads (thread_id, created_at, updated_at) VALUES (?, ?, ?)",
    ),
    runsBehind: db.prepare<[string, number], StoredEventsRow & { readonly id: number }>(
      "SELECT id, events, shared_events FROM agent_runs WHERE thread_id = ? AND id > ? ORDER BY id",
    ),
    setIndexedUpTo: db.prepare<[number, number, string]>(
      "UPDATE threads SET indexed_up_to = ?, run_count = run_count + ? WHERE thread_id = ?",
    ),
    resetThreadIndex: db.prepare<[string]>(
      "UPDATE threads SET indexed_up_to = 0, run_count = 0, messages_stale = 0 WHERE thread_id = ?",
    ),
  };
}

export type MessageStatements = ReturnType<typeof prepareMessageStatements>;
