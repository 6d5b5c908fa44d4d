import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import Database from "better-sqlite3";
import { SqliteAgentRunner } from "../../src/index.ts";
import { SCHEMA_VERSION } from "../../workers/sqlite/database/schema.ts";
import { readPatterns, type ThreadPattern } from "./patterns.ts";
import { storeTalks } from "./talks.ts";
import { fillFile, type Report, sizeOf } from "./write-file.ts";

/** Grows when the content of the file changes. Kept in `PRAGMA user_version`, which the runner does not use. */
const FORMAT = 2;

export const pathOf = (directory: string, runs: number): string =>
  join(directory, `growth-${runs}.db`);

/** Makes a file with so many runs at `path`, which is there when it is whole. */
export async function makeFile(path: string, runs: number, report: Report): Promise<void> {
  const partial = `${path}.partial`;
  const talks = `${path}.talks`;
  for (const left of [partial, talks]) removeFile(left);
  try {
    await storeTalks(talks);
    const empty = new SqliteAgentRunner({ dbPath: partial });
    await empty.ready();
    await empty.close();
    await fillFile(partial, patternsOf(talks), runs, report);
    mark(partial);
    renameSync(partial, path);
  } finally {
    for (const left of [partial, talks]) removeFile(left);
  }
}

/** A file that is kept from one call of the benchmark to the next. */
export interface KeptFile {
  readonly path: string;
  readonly runs: number;
}

/** Makes the file if it is not there. Throws if it is of another format: only its owner deletes a large file. */
export async function keepFile({ path, runs }: KeptFile, report: Report): Promise<void> {
  if (existsSync(path)) {
    expectFormat(path, runs);
    return;
  }
  mkdirSync(dirname(path), { recursive: true });
  await makeFile(path, runs, report);
}

/** The seconds that `keepFile` takes, about. */
export function expectedSecondsOf({ path, runs }: KeptFile): number {
  return existsSync(path) ? 0.1 : 5 + runs / 16_000;
}

function patternsOf(talks: string): readonly ThreadPattern[] {
  const db = new Database(talks, { fileMustExist: true });
  try {
    return readPatterns(db);
  } finally {
    db.close();
  }
}

function mark(path: string): void {
  const db = new Database(path, { fileMustExist: true });
  try {
    db.pragma(`user_version = ${FORMAT}`);
    db.pragma("journal_mode = WAL");
  } finally {
    db.close();
  }
}

function expectFormat(path: string, runs: number): void {
  const found = describe(path);
  const expected = `format ${FORMAT}, schema version ${SCHEMA_VERSION} and at least ${sizeOf(runs).runs} runs`;
  const isRight =
    typeof found !== "string" &&
    found.format === FORMAT &&
    found.schema === SCHEMA_VERSION &&
    found.runs >= sizeOf(runs).runs;
  if (isRight) return;
  const got =
    typeof found === "string"
      ? found
      : `format ${found.format}, schema version ${found.schema} and ${found.runs} runs`;
  throw new Error(
    `expected ${path} to be a file of the growth trial of ${expected}, got ${got}. Delete it, and it is made again`,
  );
}

function describe(path: string): string | { format: number; schema: number; runs: number } {
  let db: Database.Database | null = null;
  try {
    db = new Database(path, { fileMustExist: true, readonly: true });
    const format = Number(db.pragma("user_version", { simple: true }));
    const number = (sql: string) => db?.prepare<[], number>(sql).pluck().get() ?? 0;
    const schema = number("SELECT max(version) FROM schema_version");
    return { format, schema, runs: number("SELECT max(id) FROM agent_runs") };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    db?.close();
  }
}

function removeFile(path: string): void {
  for (const end of ["", "-wal", "-shm"]) rmSync(`${path}${end}`, { force: true });
}
