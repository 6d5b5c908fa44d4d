import type { Database } from "better-sqlite3";
import type { Version1Request, Version1Run } from "../../../src/protocol/file-messages.ts";
import { loadDriver } from "../database/driver.ts";
import { finishNewFile, makeNewFile, newFileError } from "./new-file.ts";

/** The tables and indexes of the version 1 runner, as it makes them itself. */
const SCHEMA = `
  CREATE TABLE agent_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    thread_id TEXT NOT NULL,
    run_id TEXT NOT NULL UNIQUE,
    parent_run_id TEXT,
    events TEXT NOT NULL,
    input TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL
  );
  CREATE TABLE run_state (
    thread_id TEXT PRIMARY KEY,
    is_running INTEGER DEFAULT 0,
    current_run_id TEXT,
    updated_at INTEGER NOT NULL
  );
  CREATE TABLE schema_version (
    version INTEGER PRIMARY KEY,
    applied_at INTEGER NOT NULL
  );
  CREATE INDEX idx_thread_id ON agent_runs(thread_id);
  CREATE INDEX idx_parent_run_id ON agent_runs(parent_run_id);
`;

/** Makes a file for the version 1 runner, in steps. */
export function version1File(path: string, { partialPath, step }: Version1Request): null {
  try {
    switch (step.kind) {
      case "begin":
        makeNewFile(path, partialPath);
        write(partialPath, begin);
        return null;
      case "add":
        write(partialPath, (db) => add(db, step.runs));
        return null;
      case "drop":
        write(partialPath, (db) => {
          for (const table of ["agent_runs", "run_state"]) {
            db.prepare(`DELETE FROM ${table} WHERE thread_id = ?`).run(step.threadId);
          }
        });
        return null;
      case "finish":
        finishNewFile(path, partialPath);
        return null;
    }
  } catch (error) {
    throw newFileError(path, error);
  }
}

function write(partialPath: string, change: (db: Database) => void): void {
  const Driver = loadDriver();
  const db = new Driver(partialPath, { fileMustExist: true });
  try {
    // A crash leaves a partial file, which nobody reads. The last step syncs the file.
    db.pragma("synchronous = OFF");
    db.transaction(() => change(db))();
  } finally {
    db.close();
  }
}

function begin(db: Database): void {
  db.exec(SCHEMA);
  db.prepare("INSERT INTO schema_version (version, applied_at) VALUES (1, ?)").run(Date.now());
}

interface LastRun {
  readonly run_id: string;
  readonly created_at: number;
}

/**
 * Version 1 finds the runs of a thread by their parents, and shows them in order of time: no two may have the
 * same. Its run ids are unique in the file, so a run id that comes again gets a number.
 */
function add(db: Database, runs: readonly Version1Run[]): void {
  const lastOf = db.prepare<[string], LastRun>(
    "SELECT run_id, created_at FROM agent_runs WHERE thread_id = ? ORDER BY id DESC LIMIT 1",
  );
  const hasRun = db.prepare<[string]>("SELECT 1 FROM agent_runs WHERE run_id = ?").pluck();
  const insert = db.prepare(
    `INSERT INTO agent_runs (thread_id, run_id, parent_run_id, events, input, created_at, version)
     VALUES (?, ?, ?, ?, ?, ?, 1)`,
  );
  const free = db.prepare(
    "INSERT OR REPLACE INTO run_state (thread_id, is_running, updated_at) VALUES (?, 0, ?)",
  );
  for (const { threadId, runId, events, input, endedAt } of runs) {
    const last = lastOf.get(threadId);
    let id = runId;
    for (let number = 2; hasRun.get(id) !== undefined; number++) id = `${runId}#${number}`;
    const at = Math.max(endedAt, (last?.created_at ?? 0) + 1);
    insert.run(threadId, id, last?.run_id ?? null, events, input, at);
    free.run(threadId, at);
  }
}
