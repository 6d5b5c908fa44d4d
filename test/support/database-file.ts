import { readFileSync } from "node:fs";
import Database from "better-sqlite3";
import { schemaOf } from "./new-runner.ts";
import { postgresRows } from "./postgres-rows.ts";
import type { ScriptEvent } from "./scripted-agent.ts";

/** Opens the file like another program, while `use` executes. */
export function withDatabase<T>(path: string, use: (db: Database.Database) => T): T {
  const db = new Database(path, { fileMustExist: true, timeout: 5000 });
  try {
    return use(db);
  } finally {
    db.close();
  }
}

export interface RunRow {
  readonly id: number;
  readonly thread_id: string;
  readonly run_id: string;
  readonly parent_run_id: string | null;
  readonly events: string;
  readonly input: string;
  readonly created_at: number;
  readonly version: number;
}

/** The stored runs of a thread, in order. On PostgreSQL: see `newRunner`. */
export function runRows(path: string, threadId: string): RunRow[] {
  const { RUNNER_POSTGRES_URL: url } = process.env;
  if (url !== undefined) {
    const columns = "epoch AS id, thread_id, run_id, events, input";
    const runs = `SELECT ${columns} FROM ${schemaOf(path)}.runs WHERE thread_id = $1 ORDER BY epoch`;
    return postgresRows<RunRow>(url, runs, threadId);
  }
  return withDatabase(path, (db) =>
    db
      .prepare<[string], RunRow>("SELECT * FROM agent_runs WHERE thread_id = ? ORDER BY id")
      .all(threadId),
  );
}

/** All that is stored, as one text. */
export function storedText(path: string): string {
  const { RUNNER_POSTGRES_URL: url } = process.env;
  if (url === undefined) return readFileSync(path, "latin1");
  const tables = ["threads", "runs", "journal", "messages"];
  const rows = tables.flatMap((table) =>
    postgresRows(url, `SELECT * FROM ${schemaOf(path)}.${table}`),
  );
  return JSON.stringify(rows);
}

export const eventsOf = (row: RunRow | undefined): ScriptEvent[] =>
  JSON.parse(row?.events ?? "[]") as ScriptEvent[];

/** One value of one row. */
export function valueIn(path: string, sql: string, ...parameters: unknown[]): unknown {
  return withDatabase(path, (db) =>
    db
      .prepare(sql)
      .pluck()
      .get(...parameters),
  );
}
