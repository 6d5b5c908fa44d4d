import { readFileSync } from "node:fs";
import Database from "better-sqlite3";
import { schemaOf } from "./new-runner.ts";
import { eventually } from "./poll.ts";
import { postgresRows, queryPostgres } from "./postgres-rows.ts";
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

/** Whether nobody holds the write lock of the file. True on PostgreSQL, where transactions lock rows. */
export function isUnlocked(path: string): boolean {
  if (process.env.RUNNER_POSTGRES_URL !== undefined) return true;
  const db = new Database(path, { fileMustExist: true, timeout: 0 });
  try {
    db.exec("BEGIN IMMEDIATE; ROLLBACK");
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code !== "SQLITE_BUSY") throw error;
    return false;
  } finally {
    db.close();
  }
}

/** Moves the WAL into the database, and empties it. A runner that reads, to index what was stored, delays that. */
export async function emptyWal(path: string): Promise<void> {
  await eventually(() =>
    withDatabase(path, (db) => {
      const [{ busy }] = db.pragma("wal_checkpoint(TRUNCATE)") as [{ readonly busy: number }];
      return busy === 0;
    }),
  );
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

/**
 * How many rows are left of the runs of a thread, or of all threads. On PostgreSQL: see `newRunner`; there, a runner
 * of this process may remove them meanwhile.
 */
export async function storedRows(path: string, threadId?: string): Promise<number> {
  const where = threadId === undefined ? "" : "WHERE thread_id =";
  const { RUNNER_POSTGRES_URL: url } = process.env;
  if (url !== undefined) {
    const sql = `SELECT count(*)::int4 AS rows FROM ${schemaOf(path)}.runs ${where && `${where} $1`}`;
    const values = threadId === undefined ? [] : [threadId];
    const [count] = await queryPostgres<{ rows: number }>(url, sql, ...values);
    return count?.rows ?? 0;
  }
  const values = threadId === undefined ? [] : [threadId];
  return valueIn(
    path,
    `SELECT count(*) FROM agent_runs ${where && `${where} ?`}`,
    ...values,
  ) as number;
}

/** Whether a process has begun to remove or to make a thread, and has not done so. */
export async function isUnfinished(path: string): Promise<boolean> {
  const { RUNNER_POSTGRES_URL: url } = process.env;
  if (url !== undefined) {
    const sql = `SELECT 1 FROM ${schemaOf(path)}.threads WHERE unfinished IS NOT NULL`;
    return (await queryPostgres(url, sql)).length > 0;
  }
  return valueIn(path, "SELECT count(*) FROM unfinished_threads") !== 0;
}

/** UTF-16 units of the texts that the runs share. */
export function sharedUnits(path: string): number {
  const { RUNNER_POSTGRES_URL: url } = process.env;
  const sum = "SELECT coalesce(sum(length), 0)";
  if (url === undefined) return valueIn(path, `${sum} FROM shared_values`) as number;
  const sql = `${sum}::int4 AS units FROM ${schemaOf(path)}.shared_values`;
  return postgresRows<{ units: number }>(url, sql)[0]?.units ?? 0;
}

/** Whether what lists and searches need of the stored runs is made. */
export function isIndexed(path: string): boolean {
  const { RUNNER_POSTGRES_URL: url } = process.env;
  if (url === undefined) {
    return (
      valueIn(path, "SELECT max(id) = (SELECT up_to FROM facts_checkpoint) FROM agent_runs") === 1
    );
  }
  const schema = schemaOf(path);
  const behind = `SELECT 1 FROM ${schema}.runs AS r WHERE NOT EXISTS (
    SELECT 1 FROM ${schema}.thread_facts AS f WHERE f.thread_id = r.thread_id AND f.up_to >= r.epoch)`;
  return postgresRows(url, behind).length === 0;
}

/** Makes a thread as if its last run had ended at this time, in milliseconds since the epoch. */
export function ageThread(path: string, threadId: string, at: number): void {
  const { RUNNER_POSTGRES_URL: url } = process.env;
  if (url !== undefined) {
    const schema = schemaOf(path);
    const listed = `UPDATE ${schema}.thread_list SET updated_at = $2 WHERE thread_id = $1`;
    postgresRows(url, listed, threadId, String(at));
    const sql = `UPDATE ${schema}.threads SET updated_at = to_timestamp($2::float8 / 1000) WHERE thread_id = $1`;
    postgresRows(url, sql, threadId, String(at));
    return;
  }
  withDatabase(path, (db) => {
    db.prepare("UPDATE threads SET updated_at = ? WHERE thread_id = ?").run(at, threadId);
    db.prepare("UPDATE run_state SET updated_at = ? WHERE thread_id = ?").run(at, threadId);
  });
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
