import type { Database } from "better-sqlite3";
import type { StoredEventsRow } from "../values/statements.ts";

/** Columns of a run that are not copied as they are. A fork has no chain of parents, like all our runs. */
const OWN_RUN_COLUMNS = ["id", "thread_id", "run_id", "client_run_id", "parent_run_id", "epoch"];

interface MessageRow {
  readonly message_id: string;
  readonly digest: number | null;
}

interface ForkRow {
  readonly newThreadId: string;
  readonly threadId: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly runs: number;
  /** The last row of the new thread. */
  readonly last: number;
  /** The row of the last run that both threads have. */
  readonly forkedRow: number;
}

export function prepareForkStatements(db: Database) {
  const copied = columnsOf(db, "agent_runs")
    .filter((column) => !OWN_RUN_COLUMNS.includes(column))
    .join(", ");
  return {
    // The latest run of a client's id.
    rowOfRun: db
      .prepare<[string, string], number>(
        `SELECT id FROM agent_runs WHERE thread_id = ? AND coalesce(client_run_id, run_id) = ?
         ORDER BY id DESC LIMIT 1`,
      )
      .pluck(),
    rowsBetween: db
      .prepare<[string, number, number, number], number>(
        "SELECT id FROM agent_runs WHERE thread_id = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?",
      )
      .pluck(),
    // Under an alias: the id of the run is taken.
    copyRun: db.prepare<[string, number, number]>(
      `INSERT INTO agent_runs (thread_id, run_id, client_run_id, epoch, ${copied})
       SELECT ?, coalesce(client_run_id, run_id) || '#' || lower(hex(randomblob(16))),
         coalesce(client_run_id, run_id), ?, ${copied}
       FROM agent_runs WHERE id = ?`,
    ),
    readRun: db.prepare<[number], StoredEventsRow & { readonly epoch: number | null }>(
      "SELECT events, shared_events, epoch FROM agent_runs WHERE id = ?",
    ),
    messagesAfter: db.prepare<[string, string, number], MessageRow>(
      `SELECT message_id, digest FROM thread_messages
       WHERE thread_id = ? AND message_id > ? ORDER BY message_id LIMIT ?`,
    ),
    inheritMessage: db.prepare<[string, string, number | null]>(
      `INSERT INTO thread_messages (thread_id, message_id, digest) VALUES (?, ?, ?)
       ON CONFLICT DO NOTHING`,
    ),
    insertFork: db.prepare<[ForkRow]>(
      `INSERT INTO threads (thread_id, agent_id, title, metadata, resource_id, created_at, updated_at,
         run_count, indexed_up_to, values_stale, forked_from)
       SELECT @newThreadId, agent_id, title, metadata, resource_id, @now, @now, @runs, @last, 1,
         json_object('threadId', @threadId, 'runId',
           (SELECT coalesce(client_run_id, run_id) FROM agent_runs WHERE id = @forkedRow))
       FROM threads WHERE thread_id = @threadId`,
    ),
    // The fields by which lists are filtered.
    copyMetadataFields: db.prepare<[{ readonly newThreadId: string; readonly threadId: string }]>(
      `INSERT INTO thread_metadata (key, value, thread_id)
       SELECT key, value, @newThreadId FROM thread_metadata WHERE thread_id = @threadId`,
    ),
    titleOf: db
      .prepare<[string], string | null>("SELECT title FROM threads WHERE thread_id = ?")
      .pluck(),
  };
}

export type ForkStatements = ReturnType<typeof prepareForkStatements>;

function columnsOf(db: Database, table: string): readonly string[] {
  const names = db.prepare<[string], string>("SELECT name FROM pragma_table_info(?)").pluck();
  return names.all(table);
}
