/** The statements about the values that repeat from run to run. Arrays are binary: see `binary-arrays.ts`. */
export function valueStatementsOf(s: string) {
  const named = (name: string, text: string) => ({ name: `dar_${name}`, text });
  return {
    addChunks: named(
      "add_chunks",
      `INSERT INTO ${s}.shared_values (thread_id, log, at, length, text)
       SELECT * FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::text[])`,
    ),
    latestPlaces: named(
      "latest_places",
      `SELECT shared_events, shared_input FROM ${s}.runs
       WHERE thread_id = $1 ORDER BY epoch DESC LIMIT $2`,
    ),
    // The rows of logs that have a part of [$3, $4). The first of them begins before it, or with it.
    chunks: named(
      "chunks",
      `SELECT q.thread_id, q.log, c.at, c.text
       FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[]) AS q(thread_id, log, first, last)
       CROSS JOIN LATERAL (
         SELECT v.at, v.text FROM ${s}.shared_values AS v
         WHERE v.thread_id = q.thread_id AND v.log = q.log AND v.at < q.last
           AND v.at >= coalesce((SELECT max(at) FROM ${s}.shared_values AS f
             WHERE f.thread_id = q.thread_id AND f.log = q.log AND f.at <= q.first), 0)) AS c`,
    ),
    logEnds: named(
      "log_ends",
      `SELECT q.log, (SELECT at + length FROM ${s}.shared_values AS v
         WHERE v.thread_id = $1 AND v.log = q.log ORDER BY at DESC LIMIT 1) AS end_at
       FROM unnest($2::int8[]) AS q(log)`,
    ),
    placesOfThread: named(
      "places_of_thread",
      `SELECT shared_events, shared_input FROM ${s}.runs
       WHERE thread_id = $1 AND (shared_events IS NOT NULL OR shared_input IS NOT NULL)`,
    ),
    logRows: named(
      "log_rows",
      `SELECT log, at, length FROM ${s}.shared_values WHERE thread_id = $1`,
    ),
    textsOf: named(
      "texts_of",
      `SELECT v.log, v.at, v.text FROM unnest($2::int8[], $3::int8[]) AS q(log, at)
       JOIN ${s}.shared_values AS v ON v.thread_id = $1 AND v.log = q.log AND v.at = q.at`,
    ),
    deleteChunks: named(
      "delete_chunks",
      `DELETE FROM ${s}.shared_values AS v USING unnest($2::int8[], $3::int8[]) AS q(log, at)
       WHERE v.thread_id = $1 AND v.log = q.log AND v.at = q.at`,
    ),
  };
}
