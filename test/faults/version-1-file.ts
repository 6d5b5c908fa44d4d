import Database from "better-sqlite3";

export const VERSION_1_RUNS = 5000;
const THREADS = 50;

/** A file as the version 1 runner leaves it, large enough that its migration takes a while. */
export function createVersion1(path: string): void {
  const db = new Database(path);
  db.exec(`
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
    CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL);
    CREATE INDEX idx_thread_id ON agent_runs(thread_id);
    CREATE INDEX idx_parent_run_id ON agent_runs(parent_run_id);
    INSERT INTO schema_version VALUES (1, 0);
  `);
  const insert = db.prepare("INSERT INTO agent_runs VALUES (NULL, ?, ?, ?, ?, '{}', ?, 1)");
  db.transaction(() => {
    for (let run = 0; run < VERSION_1_RUNS; run++) {
      const threadId = `thread-${run % THREADS}`;
      const parent = run < THREADS ? null : `old-${run - THREADS}`;
      const messageId = `old-answer-${run}`;
      const events = [
        { type: "RUN_STARTED", threadId, runId: `old-${run}` },
        { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
        { type: "TEXT_MESSAGE_CONTENT", messageId, delta: `answer ${run}` },
        { type: "TEXT_MESSAGE_END", messageId },
        { type: "RUN_FINISHED", threadId, runId: `old-${run}` },
      ];
      insert.run(threadId, `old-${run}`, parent, JSON.stringify(events), run);
    }
  })();
  db.close();
}
