import { compactEvents } from "@ag-ui/client";
import type { BaseEvent } from "@ag-ui/core";
import Database from "better-sqlite3";
import { emitAnswer, inputOf } from "../workloads/agents.ts";

/** The tables of the version 1 runner. */
export function createVersion1Schema(db: Database.Database): void {
  db.exec(`
    CREATE TABLE IF NOT EXISTS agent_runs (
      id INTEGER PRIMARY KEY AUTOINCREMENT, thread_id TEXT NOT NULL, run_id TEXT NOT NULL UNIQUE,
      parent_run_id TEXT, events TEXT NOT NULL, input TEXT NOT NULL,
      created_at INTEGER NOT NULL, version INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS run_state (
      thread_id TEXT PRIMARY KEY, is_running INTEGER DEFAULT 0, current_run_id TEXT,
      updated_at INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS schema_version (
      version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS idx_thread_id ON agent_runs(thread_id);
    CREATE INDEX IF NOT EXISTS idx_parent_run_id ON agent_runs(parent_run_id);`);
}

/** Events of one run as they are stored: RUN_STARTED, three of the answer, RUN_FINISHED. */
export const STORED_EVENTS_PER_RUN = 5;

/**
 * Writes a thread for each of `lengths`, with that many runs, in the format of version 1. The version 1
 * design reads the file, and our runner migrates it, so both begin with the same history.
 */
export function writeHistories(
  dbPath: string,
  lengths: ReadonlyMap<string, number>,
  eventsPerRun: number,
): void {
  const db = new Database(dbPath);
  // Writing this file is not measured, so it does not have to be durable.
  db.pragma("synchronous = OFF");
  createVersion1Schema(db);
  const insert = db.prepare(
    `INSERT INTO agent_runs
       (thread_id, run_id, parent_run_id, events, input, created_at, version)
     VALUES (?, ?, ?, ?, ?, ?, 1)`,
  );
  const began = Date.now() - 1e8;
  db.transaction(() => {
    for (const [threadId, length] of lengths) {
      let parent: string | null = null;
      for (let turn = 0; turn < length; turn++) {
        const runId = `${threadId}-old-${turn}`;
        const input = inputOf({ threadId, runId });
        const events: BaseEvent[] = [];
        emitAnswer(input, eventsPerRun, (event) => {
          events.push(event.type === "RUN_STARTED" ? { ...event, input } : event);
        });
        const json = JSON.stringify(compactEvents(events));
        insert.run(threadId, runId, parent, json, JSON.stringify(input), began + turn);
        parent = runId;
      }
    }
  })();
  db.close();
}
