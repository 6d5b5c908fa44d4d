import { withDatabase } from "./database-file.ts";

/** Adds copies of the last run of a thread: so many runs as cannot be removed in one transaction. */
export function enlargeThread(dbPath: string, threadId: string, runs: number): void {
  withDatabase(dbPath, (db) => {
    const copy = db.prepare(
      `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version, epoch)
       SELECT thread_id, 'copy-' || thread_id || '-' || ?, events, input, created_at, version, epoch
       FROM agent_runs WHERE id = (SELECT max(id) FROM agent_runs WHERE thread_id = ?)`,
    );
    const id = db
      .prepare<[string], number>("SELECT max(id) FROM agent_runs WHERE thread_id = ?")
      .pluck();
    db.transaction(() => {
      for (let at = 0; at < runs; at++) copy.run(at, threadId);
    })();
    const last = id.get(threadId);
    db.prepare("UPDATE threads SET indexed_up_to = ? WHERE thread_id = ?").run(last, threadId);
  });
}
