import { withDatabase } from "./database-file.ts";
import { schemaOf } from "./new-runner.ts";
import { postgresRows } from "./postgres-rows.ts";

/** Adds copies of the last run of a thread: so many runs as cannot be removed in one transaction. */
export function enlargeThread(dbPath: string, threadId: string, runs: number): void {
  const { RUNNER_POSTGRES_URL: url } = process.env;
  if (url === undefined) enlargeInFile(dbPath, threadId, runs);
  else enlargeInSchema(url, schemaOf(dbPath), threadId, runs);
}

function enlargeInFile(dbPath: string, threadId: string, runs: number): void {
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

function enlargeInSchema(url: string, schema: string, threadId: string, runs: number): void {
  const copies = `WITH last AS (SELECT * FROM ${schema}.runs WHERE thread_id = $1 ORDER BY epoch DESC LIMIT 1),
      copied AS (INSERT INTO ${schema}.runs (thread_id, epoch, run_id, agent_id, finished_at, input, events)
        SELECT thread_id, epoch + at, 'copy-' || thread_id || '-' || at - 1, agent_id, finished_at, input, events
        FROM last CROSS JOIN generate_series(1, $2::int4) AS at)
    UPDATE ${schema}.threads SET runs = runs + $2::int4, epoch = epoch + $2::int4 WHERE thread_id = $1`;
  postgresRows(url, copies, threadId, String(runs));
}
