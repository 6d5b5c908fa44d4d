import { existsSync } from "node:fs";
import Database from "better-sqlite3";
import { RUN_COUNTS } from "../support/version-1.ts";

/** All of a file that a round is judged by. */
export interface StoreSnapshot {
  readonly integrity: string;
  readonly runs: readonly StoredRun[];
  readonly journal: readonly JournalSegment[];
  readonly running: readonly { readonly threadId: string; readonly runId: string | null }[];
  readonly threads: readonly { readonly threadId: string; readonly runCount: number }[];
}

export interface StoredRun {
  readonly id: number;
  readonly threadId: string;
  readonly runId: string;
  /** JSON. */
  readonly events: string;
}

export interface JournalSegment {
  readonly runId: string;
  readonly seq: number;
  /** JSON. */
  readonly events: string;
}

const NO_FILE: StoreSnapshot = { integrity: "ok", runs: [], journal: [], running: [], threads: [] };

/** Reads the file as another program would. It must not write: a fresh process is to find it as it is. */
export function takeSnapshot(dbPath: string): StoreSnapshot {
  if (!existsSync(dbPath)) return NO_FILE;
  const db = new Database(dbPath, { readonly: true });
  try {
    const all = <Row>(sql: string) => db.prepare<[], Row>(sql).all();
    const integrity = all<{ integrity_check: string }>("PRAGMA integrity_check")
      .map((row) => row.integrity_check)
      .join("; ");
    const tables = new Set(
      all<{ name: string }>("SELECT name FROM sqlite_master").map(({ name }) => name),
    );
    // A process that died while it made or migrated the file has left none, or those of version 1.
    const ifThere = <Row>(table: string, sql: string) => (tables.has(table) ? all<Row>(sql) : []);
    return {
      integrity,
      runs: ifThere(
        "agent_runs",
        `SELECT id, thread_id AS threadId, run_id AS runId, events FROM agent_runs ORDER BY id`,
      ),
      journal: ifThere(
        "run_events",
        `SELECT run_id AS runId, seq, events FROM run_events ORDER BY run_id, seq`,
      ),
      running: ifThere(
        "run_state",
        `SELECT thread_id AS threadId, current_run_id AS runId FROM run_state WHERE is_running = 1`,
      ),
      threads: ifThere("threads", RUN_COUNTS),
    };
  } finally {
    db.close();
  }
}
