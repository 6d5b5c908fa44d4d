import Database from "better-sqlite3";
import { Version1 } from "./version-1.ts";

export const VERSION_1_RUNS = 5000;
const THREADS = 50;

/** A file of the version 1 runner that is large enough for a slow migration. */
export function createVersion1(path: string): void {
  const db = new Database(path);
  new Version1(db);
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
