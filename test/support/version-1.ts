import type { Database } from "better-sqlite3";
import { expect } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import { type RunRow, withDatabase } from "./database-file.ts";

/** The statements of a version 1 runner. */
export class Version1 {
  readonly #db: Database;

  /** The statements of its constructor. */
  constructor(db: Database) {
    this.#db = db;
    db.exec(`
      CREATE TABLE IF NOT EXISTS agent_runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        thread_id TEXT NOT NULL,
        run_id TEXT NOT NULL UNIQUE,
        parent_run_id TEXT,
        events TEXT NOT NULL,
        input TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        version INTEGER NOT NULL
      );
      CREATE TABLE IF NOT EXISTS run_state (
        thread_id TEXT PRIMARY KEY,
        is_running INTEGER DEFAULT 0,
        current_run_id TEXT,
        updated_at INTEGER NOT NULL
      );
      CREATE TABLE IF NOT EXISTS schema_version (
        version INTEGER PRIMARY KEY,
        applied_at INTEGER NOT NULL
      );
      CREATE INDEX IF NOT EXISTS idx_thread_id ON agent_runs(thread_id);
      CREATE INDEX IF NOT EXISTS idx_parent_run_id ON agent_runs(parent_run_id);
    `);
    const version = db
      .prepare("SELECT version FROM schema_version ORDER BY version DESC LIMIT 1")
      .pluck()
      .get();
    if (version === undefined) {
      db.prepare("INSERT OR REPLACE INTO schema_version (version, applied_at) VALUES (?, ?)").run(
        1,
        Date.now(),
      );
    }
  }

  setState(threadId: string, runId: string | null): void {
    this.#db
      .prepare(
        `INSERT OR REPLACE INTO run_state (thread_id, is_running, current_run_id, updated_at)
         VALUES (?, ?, ?, ?)`,
      )
      .run(threadId, runId === null ? 0 : 1, runId, Date.now());
  }

  /** Stores a run that answers a message `question-<runId>` in a message `answer-<runId>`. */
  storeRun(threadId: string, runId: string): void {
    const messages = [{ id: `question-${runId}`, role: "user", content: "asked" }];
    const input = { threadId, runId, messages, state: {}, tools: [], context: [] };
    const messageId = `answer-${runId}`;
    const events = [
      { type: "RUN_STARTED", threadId, runId, input },
      { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
      { type: "TEXT_MESSAGE_CONTENT", messageId, delta: `answer to ${runId}` },
      { type: "TEXT_MESSAGE_END", messageId },
      { type: "RUN_FINISHED", threadId, runId },
    ];
    this.store(threadId, runId, events, input);
  }

  /** The statements at the end of a run. */
  store(
    threadId: string,
    runId: string,
    events: readonly EventLike[],
    input: object,
    createdAt = Date.now(),
  ): void {
    const parent = this.#db
      .prepare(
        "SELECT run_id FROM agent_runs WHERE thread_id = ? ORDER BY created_at DESC, id DESC LIMIT 1",
      )
      .pluck()
      .get(threadId);
    this.#db
      .prepare(
        `INSERT INTO agent_runs
           (thread_id, run_id, parent_run_id, events, input, created_at, version)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        threadId,
        runId,
        parent ?? null,
        JSON.stringify(events),
        JSON.stringify(input),
        createdAt,
        1,
      );
  }

  /** The thread as version 1 reads it: from its first run, by `parent_run_id`. */
  chain(threadId: string): RunRow[] {
    return this.#db
      .prepare<[string, string], RunRow>(
        `WITH RECURSIVE run_chain AS (
           SELECT * FROM agent_runs WHERE thread_id = ? AND parent_run_id IS NULL
           UNION ALL
           SELECT ar.* FROM agent_runs ar
           INNER JOIN run_chain rc ON ar.parent_run_id = rc.run_id
           WHERE ar.thread_id = ?
         )
         SELECT * FROM run_chain ORDER BY created_at ASC`,
      )
      .all(threadId, threadId);
  }

  /** The purge of its documentation. */
  purgeBefore(cutoff: number): number {
    return this.#db.prepare("DELETE FROM agent_runs WHERE created_at < ?").run(cutoff).changes;
  }
}

/** The number of runs of each thread by `threads`: the counted runs, and the later runs. */
export const RUN_COUNTS = `
  SELECT thread_id AS threadId, run_count + (
    SELECT count(*) FROM agent_runs AS run
    WHERE run.thread_id = threads.thread_id AND run.id > indexed_up_to) AS runCount
  FROM threads ORDER BY thread_id`;

/** Checks that `threads` counts the existing runs. */
export function expectTrueRunCounts(dbPath: string): void {
  withDatabase(dbPath, (db) => {
    const counted = db
      .prepare(
        "SELECT thread_id AS threadId, count(*) AS runCount FROM agent_runs GROUP BY 1 ORDER BY 1",
      )
      .all();
    const kept = db.prepare(`SELECT * FROM (${RUN_COUNTS}) WHERE runCount <> 0`).all();
    expect(kept).toEqual(counted);
  });
}
