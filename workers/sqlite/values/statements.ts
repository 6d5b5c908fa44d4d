import type { Database } from "better-sqlite3";
import type { StoredText } from "./packed-text.ts";

/** A row of a log. */
export interface ChunkRow {
  readonly at: number;
  readonly length: number;
  /** Where its text begins in the text of its holder. */
  readonly skip: number;
  /** The row that holds its text. */
  readonly holder: number;
}

/** The events of a stored run without their values, and the values' places: see `packPlaces`. */
export interface StoredEventsRow {
  readonly events: string;
  readonly shared_events: StoredText | null;
}

/** The input of a stored run without its values, and the values' places: see `packPlaces`. */
export interface StoredInputRow {
  readonly input: string;
  readonly shared_input: StoredText | null;
}

/** The places of all values of a stored run. */
export type PlacesRow = Pick<StoredEventsRow, "shared_events"> &
  Pick<StoredInputRow, "shared_input">;

/** Reads parts of logs. */
export function prepareReadValueStatements(db: Database) {
  return {
    // From the row that has the first requested unit.
    chunksOfLog: db.prepare<[number, number, number, number], ChunkRow>(
      `SELECT at, length, skip, coalesce(holder, id) AS holder FROM shared_values
       WHERE log = ? AND at < ?
         AND at >= coalesce((SELECT max(at) FROM shared_values WHERE log = ? AND at <= ?), 0)
       ORDER BY at`,
    ),
    // Null in a damaged file.
    textOfHolder: db
      .prepare<[number], StoredText | null>("SELECT text FROM shared_values WHERE id = ?")
      .pluck(),
  };
}

export type ReadValueStatements = ReturnType<typeof prepareReadValueStatements>;

function prepareAppendStatements(db: Database) {
  return {
    insertChunk: db.prepare<
      [
        log: number,
        at: number,
        length: number,
        text: StoredText,
        holder: number | bigint | null,
        skip: number,
      ]
    >("INSERT INTO shared_values (log, at, length, text, holder, skip) VALUES (?, ?, ?, ?, ?, ?)"),
  };
}

export type AppendStatements = ReturnType<typeof prepareAppendStatements>;

/** Appends to logs, and finds what a thread has. */
export function prepareValueStatements(db: Database) {
  return {
    ...prepareReadValueStatements(db),
    insertLog: db
      .prepare<[string], number>("INSERT INTO shared_logs (thread_id) VALUES (?) RETURNING log")
      .pluck(),
    ...prepareAppendStatements(db),
    // Only of a log of the thread: no other thread appends to it.
    endOfLog: db
      .prepare<[number, number, string], number>(
        `SELECT at + length FROM shared_values
         WHERE log = ? AND EXISTS (SELECT 1 FROM shared_logs WHERE log = ? AND thread_id = ?)
         ORDER BY at DESC LIMIT 1`,
      )
      .pluck(),
    lastRunOfThread: db
      .prepare<[string], number | null>("SELECT max(id) FROM agent_runs WHERE thread_id = ?")
      .pluck(),
    valueSweeps: db
      .prepare<[string], number>("SELECT value_sweeps FROM threads WHERE thread_id = ?")
      .pluck(),
    latestPlaces: db.prepare<[string, number], PlacesRow>(
      `SELECT shared_events, shared_input FROM agent_runs
       WHERE thread_id = ? ORDER BY id DESC LIMIT ?`,
    ),
  };
}

export type ValueStatements = ReturnType<typeof prepareValueStatements>;

/** The logs of long runs in flight: see `PartLog`. */
export function preparePartStatements(db: Database) {
  return {
    insertPartLog: db
      .prepare<[string, number], number>(
        "INSERT INTO shared_logs (thread_id, epoch) VALUES (?, ?) RETURNING log",
      )
      .pluck(),
    lengthOfPartLog: db
      .prepare<[log: number, threadId: string], number | null>(
        `SELECT sum(length) FROM shared_logs JOIN shared_values USING (log)
         WHERE shared_logs.log = ? AND thread_id = ?`,
      )
      .pluck(),
    keepPartLog: db.prepare<[log: number, epoch: number]>(
      "UPDATE shared_logs SET epoch = NULL WHERE log = ? AND epoch = ?",
    ),
  };
}

export type PartStatements = ReturnType<typeof preparePartStatements>;

/** Deletes the logs of long runs that are in flight no more. */
export function prepareUnfinishedLogStatements(db: Database) {
  return {
    unfinishedLog: db
      .prepare<[], number>(
        `SELECT log FROM shared_logs WHERE epoch IS NOT NULL AND NOT EXISTS
           (SELECT 1 FROM run_state WHERE run_state.thread_id = shared_logs.thread_id
            AND run_state.epoch = shared_logs.epoch AND is_running = 1)
         LIMIT 1`,
      )
      .pluck(),
    deletePartsOfLog: db.prepare<[log: number, rows: number]>(
      `DELETE FROM shared_values WHERE id IN
         (SELECT id FROM shared_values WHERE log = ? LIMIT ?)`,
    ),
    deleteLog: db.prepare<[number]>("DELETE FROM shared_logs WHERE log = ?"),
  };
}

export type UnfinishedLogStatements = ReturnType<typeof prepareUnfinishedLogStatements>;

/** A row of a log, and which one it is. */
export interface StoredChunkRow extends ChunkRow {
  readonly id: number;
  readonly log: number;
}

/** The threads whose logs this thread has borrowed: it may have stopped using parts of them. */
export const MARK_LENDERS = `
UPDATE threads SET values_stale = 1 WHERE thread_id IN
  (SELECT shared_logs.thread_id FROM borrowed_logs JOIN shared_logs USING (log)
   WHERE borrowed_logs.thread_id = ?)
`;

/** Deletes the texts that no stored run uses any more. */
export function prepareSweepStatements(db: Database) {
  return {
    ...prepareReadValueStatements(db),
    ...prepareAppendStatements(db),
    staleThreads: db
      .prepare<[number], string>("SELECT thread_id FROM threads WHERE values_stale = 1 LIMIT ?")
      .pluck(),
    placesOfThread: db.prepare<[string], PlacesRow>(
      `SELECT shared_events, shared_input FROM agent_runs
       WHERE thread_id = ? AND (shared_events IS NOT NULL OR shared_input IS NOT NULL)`,
    ),
    // Threads that use logs of this thread since they were forked.
    borrowersOfThread: db
      .prepare<[string], string>(
        `SELECT DISTINCT borrowed_logs.thread_id FROM borrowed_logs JOIN shared_logs USING (log)
         WHERE shared_logs.thread_id = ?`,
      )
      .pluck(),
    markLenders: db.prepare<[string]>(MARK_LENDERS),
    // Rows that one row holds the texts of come one after another. Without the logs of runs in flight.
    chunksToSweep: db.prepare<[string], StoredChunkRow>(
      `SELECT id, log, at, length, skip, coalesce(holder, id) AS holder
       FROM shared_logs JOIN shared_values USING (log)
       WHERE shared_logs.thread_id = ? AND shared_logs.epoch IS NULL
       ORDER BY coalesce(holder, id), skip`,
    ),
    deleteChunk: db.prepare<[number]>("DELETE FROM shared_values WHERE id = ?"),
    deleteEmptyLogs: db.prepare<[string]>(
      `DELETE FROM shared_logs WHERE thread_id = ? AND epoch IS NULL
         AND NOT EXISTS (SELECT 1 FROM shared_values WHERE shared_values.log = shared_logs.log)`,
    ),
    endSweep: db.prepare<[string]>(
      `UPDATE threads SET values_stale = 0, value_sweeps = value_sweeps + 1 WHERE thread_id = ?`,
    ),
  };
}

export type SweepStatements = ReturnType<typeof prepareSweepStatements>;
