import type { Statement } from "../statement.ts";

/** The statements that export and import threads. Like `statementsOf`. */
export function transferStatementsOf(schema: string) {
  const named = (name: string, text: string): Statement => ({ name: `dar_${name}`, text });
  const s = schema;
  const firstRun = `(SELECT min(epoch) FROM ${s}.runs WHERE thread_id = $1)`;
  return {
    exportedHead: named(
      "exported_head",
      `SELECT l.archived, l.created_at, l.updated_at, l.title, l.forked_from,
         l.agent_id AS listed_agent, m.metadata, ${firstRun} AS first_run, r.epoch AS last_run, r.agent_id AS last_agent,
         r.finished_at AS last_end, (extract(epoch FROM t.created_at) * 1000)::int8 AS known_at,
         (SELECT count(*) FROM ${s}.runs WHERE thread_id = $1) AS stored_runs
       FROM ${s}.threads AS t
       LEFT JOIN ${s}.thread_list AS l ON l.thread_id = t.thread_id
       LEFT JOIN ${s}.thread_metadata AS m ON m.thread_id = t.thread_id
       LEFT JOIN LATERAL (SELECT epoch, agent_id, finished_at FROM ${s}.runs
         WHERE thread_id = $1 ORDER BY epoch DESC LIMIT 1) AS r ON true
       WHERE t.thread_id = $1`,
    ),
    exportedMessages: named(
      "exported_messages",
      `SELECT up_to, messages, ${firstRun} AS first_run FROM ${s}.messages
       WHERE thread_id = $1 AND up_to > $2 ORDER BY up_to LIMIT $3`,
    ),
    // Runs up to the one that makes $4 bytes, and at most $5.
    exportedRuns: named(
      "exported_runs",
      `SELECT * FROM (
         SELECT *, sum(bytes) OVER (ORDER BY epoch) - bytes AS before
         FROM (SELECT epoch, run_id, agent_id, finished_at, input, events, shared_events, shared_input,
             octet_length(events) + octet_length(input) AS bytes FROM ${s}.runs
           WHERE thread_id = $1 AND epoch > $2 AND epoch <= $3 ORDER BY epoch LIMIT $5) AS r) AS q
       WHERE before < $4 ORDER BY epoch`,
    ),

    saveValues: named(
      "save_values",
      `UPDATE ${s}.threads SET values_version = $2, last_log = $3 WHERE thread_id = $1`,
    ),
    // A purge goes by `updated_at`. What hosts remember of a thread goes by `created_at`, which stays.
    finishImport: named(
      "finish_import",
      `UPDATE ${s}.threads SET epoch = greatest(epoch, $2), agent_id = $3, unfinished = NULL,
         unfinished_by = NULL, runs = (SELECT count(*) FROM ${s}.runs WHERE thread_id = $1),
         updated_at = to_timestamp($4::float8 / 1000)
       WHERE thread_id = $1 RETURNING runs`,
    ),
    listImported: named(
      "list_imported",
      `INSERT INTO ${s}.thread_list (thread_id, resource_id, agent_id, archived, created_at, updated_at,
         title, forked_from)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    ),
  };
}
