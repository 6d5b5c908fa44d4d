import type { Database } from "better-sqlite3";
import type { StoredText } from "../values/packed-text.ts";

/** UTF-16 units of events, without the values that are stored elsewhere, beyond which a run is not read. */
const MAX_READ_LENGTH = 512 * 1024;

/** A stored run, as lists of threads and of runs need it. */
export interface RunRow {
  readonly id: number;
  /** The id that the client gave the run. */
  readonly run_id: string;
  /** Null for a run of version 1. */
  readonly epoch: number | null;
  readonly agent_id: string | null;
  readonly created_at: number;
  /** UTF-8 bytes of the events and the input, without the values that are stored elsewhere. */
  readonly bytes: number;
  /** Null when the run is too long, or its events are not asked for. */
  readonly events: string | null;
  /** The end of the JSON of the events when `events` is null: 64 KiB. */
  readonly tail: Uint8Array | null;
  readonly shared_events: StoredText | null;
  readonly shared_input: StoredText | null;
}

/** The end of the JSON of the events. SQLite would take seconds to parse the JSON of a very long run. */
const TAIL = `substr(CAST(events AS BLOB), -${64 * 1024})`;

const RUN_COLUMNS = `id, coalesce(client_run_id, run_id) AS run_id, epoch, agent_id, created_at,
  octet_length(events) + octet_length(input) AS bytes, shared_events, shared_input`;

const READ_RUN = `${RUN_COLUMNS},
  iif(octet_length(events) <= ${MAX_READ_LENGTH}, events, NULL) AS events,
  iif(octet_length(events) <= ${MAX_READ_LENGTH}, NULL, ${TAIL}) AS tail`;

/** A thread, who holds it, and what is derived from its runs. */
export interface ThreadRow {
  readonly thread_id: string;
  readonly title: string | null;
  readonly agent_id: string | null;
  readonly resource_id: string | null;
  readonly metadata: string | null;
  readonly archived: number;
  readonly created_at: number;
  readonly updated_at: number;
  readonly forked_from: string | null;
  /** When `run_state` was changed last. Null if it has no row. */
  readonly state_at: number | null;
  /** `thread_facts.up_to`; 0 if it has no row. */
  readonly up_to: number;
  readonly facts: string | null;
  readonly stale: number;
}

/** Reads threads and their runs, on a reader's connection or the writer's. */
export function prepareThreadStatements(db: Database) {
  return {
    thread: db.prepare<[string], ThreadRow>(
      `SELECT t.thread_id, t.title, t.agent_id, t.resource_id, t.metadata, t.archived, t.created_at,
         t.updated_at, t.forked_from, s.updated_at AS state_at, coalesce(f.up_to, 0) AS up_to, f.facts,
         coalesce(f.stale, 0) AS stale
       FROM threads t
       LEFT JOIN run_state s ON s.thread_id = t.thread_id
       LEFT JOIN thread_facts f ON f.thread_id = t.thread_id
       WHERE t.thread_id = ?`,
    ),
    runsBehindFacts: db.prepare<[string, number, number], RunRow>(
      `SELECT ${READ_RUN} FROM agent_runs WHERE thread_id = ? AND id > ? ORDER BY id LIMIT ?`,
    ),
    lastRun: db.prepare<[string], RunRow>(
      `SELECT ${RUN_COLUMNS}, NULL AS events, ${TAIL} AS tail
       FROM agent_runs WHERE thread_id = ? ORDER BY id DESC LIMIT 1`,
    ),
    countRuns: db
      .prepare<[string], number>("SELECT count(*) FROM agent_runs WHERE thread_id = ?")
      .pluck(),
    runsAfter: db.prepare<[string, number, number], RunRow>(
      `SELECT ${RUN_COLUMNS}, NULL AS events, ${TAIL} AS tail
       FROM agent_runs WHERE thread_id = ? AND id > ? ORDER BY id LIMIT ?`,
    ),
  };
}

export type ThreadStatements = ReturnType<typeof prepareThreadStatements>;

/** Changes what is known of a thread besides its runs. */
export function prepareUpdateThreadStatements(db: Database) {
  return {
    setTitle: db.prepare<[string | null, string, number]>(
      "UPDATE threads SET title = ? WHERE thread_id = ? AND (title IS NULL OR NOT ?)",
    ),
    setArchived: db.prepare<[number, string]>(
      "UPDATE threads SET archived = ? WHERE thread_id = ?",
    ),
    setMetadata: db.prepare<[string | null, string]>(
      "UPDATE threads SET metadata = ? WHERE thread_id = ?",
    ),
    deleteMetadataFields: db.prepare<[string]>("DELETE FROM thread_metadata WHERE thread_id = ?"),
    insertMetadataField: db.prepare<[key: string, value: string, threadId: string]>(
      "INSERT OR IGNORE INTO thread_metadata (key, value, thread_id) VALUES (?, ?, ?)",
    ),
  };
}

export type UpdateThreadStatements = ReturnType<typeof prepareUpdateThreadStatements>;

/** A row of `thread_facts`. */
export interface FactsRow {
  readonly thread_id: string;
  readonly up_to: number;
  readonly facts: string | null;
  readonly range: number | null;
  readonly range_rows: number;
  readonly title_range: number | null;
  readonly words: string;
  readonly stale: number;
}

const FACTS = "thread_id, up_to, facts, range, range_rows, title_range, words, stale";

/** The words by which threads are found. */
export function prepareSearchRowStatements(db: Database) {
  return {
    insertFacts: db.prepare<[string], FactsRow>(
      `INSERT INTO thread_facts (thread_id) VALUES (?) RETURNING ${FACTS}`,
    ),
    factsOfThread: db.prepare<[string], FactsRow>(
      `SELECT ${FACTS} FROM thread_facts WHERE thread_id = ?`,
    ),
    setTitleRange: db.prepare<[number, string]>(
      "UPDATE thread_facts SET title_range = ? WHERE thread_id = ?",
    ),
    insertRange: db
      .prepare<[string], number>("INSERT INTO search_ranges (thread_id) VALUES (?) RETURNING range")
      .pluck(),
    rangesToRemove: db
      .prepare<[string], number>(
        "SELECT range FROM search_ranges WHERE thread_id = ? OR thread_id IS NULL",
      )
      .pluck(),
    deleteRange: db.prepare<[number]>("DELETE FROM search_ranges WHERE range = ?"),
    insertSearchRow: db.prepare<[number, string]>(
      "INSERT INTO thread_search (rowid, words) VALUES (?, ?)",
    ),
    deleteSearchRow: db.prepare<[number]>("DELETE FROM thread_search WHERE rowid = ?"),
  };
}

export type SearchRowStatements = ReturnType<typeof prepareSearchRowStatements>;

/** When a run of a thread began or ended last. */
export function prepareTouchStatements(db: Database) {
  return {
    // A touch may have waited while another instance had a run on the thread. What another program has stored may be
    // a text, which SQLite sorts behind all times: no list would come to it.
    touchThread: db.prepare<[{ readonly at: number; readonly threadId: string }]>(
      `UPDATE threads SET updated_at =
         max(@at, coalesce((SELECT CAST(updated_at AS INTEGER) FROM run_state WHERE thread_id = @threadId), 0))
       WHERE thread_id = @threadId`,
    ),
    // A statement of its own, since it writes to all indexes of lists, and most threads keep their agent. The agent is
    // read from the file: another instance may have had the last run.
    setAgentOfLastRun: db.prepare<[{ readonly threadId: string }]>(
      `UPDATE threads SET agent_id = run_state.agent_id FROM run_state
       WHERE threads.thread_id = @threadId AND run_state.thread_id = @threadId
         AND run_state.agent_id IS NOT NULL AND threads.agent_id IS NOT run_state.agent_id`,
    ),
    setAgent: db.prepare<[agentId: string, threadId: string, agentId: string]>(
      "UPDATE threads SET agent_id = ? WHERE thread_id = ? AND agent_id IS NOT ?",
    ),
  };
}

export type TouchStatements = ReturnType<typeof prepareTouchStatements>;

/** Makes the facts and the words of threads from their runs. */
export function prepareIndexStatements(db: Database) {
  return {
    ...prepareSearchRowStatements(db),
    ...prepareTouchStatements(db),
    dataVersion: db.prepare<[], number>("PRAGMA data_version").pluck(),
    factsCheckpoint: db.prepare<[], number>("SELECT up_to FROM facts_checkpoint").pluck(),
    hasRunBehind: db
      .prepare<[number], number>("SELECT 1 FROM agent_runs WHERE id > ? LIMIT 1")
      .pluck(),
    setFactsCheckpoint: db.prepare<[number]>(
      `INSERT INTO facts_checkpoint (id, up_to) VALUES (1, ?)
       ON CONFLICT (id) DO UPDATE SET up_to = excluded.up_to`,
    ),
    runBehind: db.prepare<[number], RunRow & { readonly thread_id: string }>(
      `SELECT thread_id, ${READ_RUN} FROM agent_runs WHERE id > ? ORDER BY id LIMIT 1`,
    ),
    runOfThreadBehind: db.prepare<[string, number], RunRow>(
      `SELECT ${READ_RUN} FROM agent_runs WHERE thread_id = ? AND id > ? ORDER BY id LIMIT 1`,
    ),
    staleFacts: db.prepare<[], FactsRow>(
      `SELECT ${FACTS} FROM thread_facts WHERE stale <> 0 LIMIT 1`,
    ),
    dropRanges: db.prepare<[string]>(
      "UPDATE search_ranges SET thread_id = NULL WHERE thread_id = ?",
    ),
    droppedRange: db
      .prepare<[], number>("SELECT range FROM search_ranges WHERE thread_id IS NULL LIMIT 1")
      .pluck(),
    clearFacts: db.prepare<[string]>(
      `UPDATE thread_facts SET up_to = 0, facts = NULL, range = NULL, range_rows = 0,
         title_range = NULL, words = '', stale = 2
       WHERE thread_id = ?`,
    ),
    endStale: db.prepare<[string]>("UPDATE thread_facts SET stale = 0 WHERE thread_id = ?"),
    // Undefined for a thread that is unknown: it is being removed, or made.
    titleOfThread: db
      .prepare<[string], string | null>("SELECT title FROM threads WHERE thread_id = ?")
      .pluck(),
    updateFacts: db.prepare<
      [
        ...[upTo: number, facts: string, range: number | null, rangeRows: number, words: string],
        ...[threadId: string, from: number],
      ]
    >(
      `UPDATE thread_facts SET up_to = ?, facts = ?, range = ?, range_rows = ?, words = ?
       WHERE thread_id = ? AND up_to = ?`,
    ),
    touchThreadBefore: db.prepare<[at: number, threadId: string, at: number]>(
      "UPDATE threads SET updated_at = ? WHERE thread_id = ? AND updated_at < ?",
    ),
    totalChanges: db.prepare<[], number>("SELECT total_changes()").pluck(),
    // So many pages at most.
    mergeWords: db.prepare<[number]>(
      "INSERT INTO thread_search (thread_search, rank) VALUES ('merge', ?)",
    ),
  };
}

export type IndexStatements = ReturnType<typeof prepareIndexStatements>;
