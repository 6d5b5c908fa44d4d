/** A statement, named so that the server prepares it once per connection. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** The columns of a thread that a transaction decides by. */
const THREAD =
  "thread_id, epoch, run_id, owner_id, claim_number, stop, resource_id, agent_id, runs";

export interface StatementsOptions {
  readonly schema: string;
  /** Milliseconds after which a host gives up a connection without an answer. */
  readonly answerTimeoutMs: number;
}

/** All statements of a schema. Arrays are binary: see `binary-arrays.ts`. */
export function statementsOf({ schema, answerTimeoutMs }: StatementsOptions) {
  const named = (name: string, text: string): Statement => ({ name: `dar_${name}`, text });
  const s = schema;
  return {
    begin: named("begin", "BEGIN"),
    commit: named("commit", "COMMIT"),
    rollback: named("rollback", "ROLLBACK"),
    /**
     * Ends a transaction whose host is gone without a word: its locks would stay until TCP gives up. Each row
     * is found by its key. The server would else read small tables whole, and keep that plan while they grow.
     */
    bounded: named(
      "bounded",
      `SELECT set_config('idle_in_transaction_session_timeout', '${answerTimeoutMs}ms', true),
         set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
         set_config('enable_mergejoin', 'off', true)`,
    ),
    /** The row of a new thread may be lost with the server: it is made again. */
    relaxed: named("relaxed", "SET LOCAL synchronous_commit TO off"),

    addThreads: named(
      "add_threads",
      `INSERT INTO ${s}.threads (thread_id) SELECT id FROM unnest($1::text[]) AS id
       ORDER BY id COLLATE "C" ON CONFLICT DO NOTHING`,
    ),
    // In the order of the ids: two hosts that lock the same threads never wait for each other in a circle.
    lockThreads: named(
      "lock_threads",
      `SELECT ${THREAD} FROM ${s}.threads WHERE thread_id = ANY($1::text[])
       ORDER BY thread_id FOR NO KEY UPDATE`,
    ),
    saveThreads: named(
      "save_threads",
      `UPDATE ${s}.threads AS t SET epoch = q.epoch, run_id = q.run_id, owner_id = q.owner_id,
         claim_number = q.claim_number, stop = q.stop, resource_id = q.resource_id,
         agent_id = q.agent_id, runs = q.runs, updated_at = clock_timestamp()
       FROM unnest($1::text[], $2::int8[], $3::text[], $4::text[], $5::int8[], $6::int8[],
         $7::text[], $8::text[], $9::int8[])
         AS q(thread_id, epoch, run_id, owner_id, claim_number, stop, resource_id, agent_id, runs)
       WHERE t.thread_id = q.thread_id`,
    ),
    messagesKnown: named(
      "messages_known",
      `SELECT m.thread_id, m.message_id, m.digest
       FROM unnest($1::text[], $2::text[]) AS q(thread_id, message_id)
       JOIN ${s}.messages AS m ON m.thread_id = q.thread_id AND m.message_id = q.message_id`,
    ),
    addMessages: named(
      "add_messages",
      `INSERT INTO ${s}.messages AS m (thread_id, message_id, digest)
       SELECT * FROM unnest($1::text[], $2::text[], $3::int8[])
       ON CONFLICT (thread_id, message_id) DO UPDATE SET digest = excluded.digest
       WHERE m.digest <> excluded.digest`,
    ),
    addRuns: named(
      "add_runs",
      `INSERT INTO ${s}.runs (thread_id, epoch, run_id, agent_id, finished_at, input, events)
       SELECT * FROM unnest($1::text[], $2::int8[], $3::text[], $4::text[], $5::int8[], $6::text[],
         $7::text[])`,
    ),
    runsKnown: named(
      "runs_known",
      `SELECT r.thread_id, r.epoch
       FROM unnest($1::text[], $2::int8[]) AS q(thread_id, epoch)
       JOIN ${s}.runs AS r ON r.thread_id = q.thread_id AND r.epoch = q.epoch`,
    ),
    addSegments: named(
      "add_segments",
      `INSERT INTO ${s}.journal (thread_id, epoch, seq, events)
       SELECT * FROM unnest($1::text[], $2::int8[], $3::int8[], $4::text[])
       ON CONFLICT DO NOTHING`,
    ),
    deleteJournals: named(
      "delete_journals",
      `DELETE FROM ${s}.journal AS j USING unnest($1::text[], $2::int8[]) AS q(thread_id, epoch)
       WHERE j.thread_id = q.thread_id AND j.epoch = q.epoch`,
    ),
    journal: named(
      "journal",
      `SELECT seq, events FROM ${s}.journal WHERE thread_id = $1 AND epoch = $2 ORDER BY seq`,
    ),

    beat: named(
      "beat",
      `INSERT INTO ${s}.hosts (instance_id, lease_ms, beat) VALUES ($1, $2, $3)
       ON CONFLICT (instance_id) DO UPDATE SET
         beat = excluded.beat, closed = false, seen_at = clock_timestamp()`,
    ),
    hosts: named("hosts", `SELECT instance_id, lease_ms, beat, closed FROM ${s}.hosts`),
    closeHost: named("close_host", `UPDATE ${s}.hosts SET closed = true WHERE instance_id = $1`),
    forgetHost: named("forget_host", `DELETE FROM ${s}.hosts WHERE instance_id = $1 AND beat = $2`),
    // Reads the whole table: there is no index by owner. Needed only when a host has died.
    threadsHeldBy: named(
      "threads_held_by",
      `SELECT thread_id FROM ${s}.threads WHERE owner_id = $1`,
    ),
    // Journals of runs that hold no thread any more, and that no follower reads any more.
    deleteOldJournals: named(
      "delete_old_journals",
      `DELETE FROM ${s}.journal AS j WHERE NOT EXISTS (
         SELECT 1 FROM ${s}.threads AS t WHERE t.thread_id = j.thread_id
           AND (t.owner_id IS NOT NULL AND t.epoch = j.epoch
             OR t.updated_at > clock_timestamp() - interval '1 minute'))`,
    ),

    threadNow: named(
      "thread_now",
      `SELECT ${THREAD}, (SELECT max(epoch) FROM ${s}.runs WHERE thread_id = $1) AS last_run
       FROM ${s}.threads WHERE thread_id = $1`,
    ),
    // The last runs of a thread, so many of them, begin behind this one.
    runBeforeLast: named(
      "run_before_last",
      `SELECT epoch FROM ${s}.runs WHERE thread_id = $1 AND epoch <= $2
       ORDER BY epoch DESC LIMIT 1 OFFSET $3`,
    ),
    // Runs up to the one that fills a page of $4 bytes. A longer run comes without its events.
    page: named(
      "page",
      `SELECT epoch, run_id, CASE WHEN bytes <= $4 THEN events END AS events FROM (
         SELECT epoch, run_id, events, bytes, sum(bytes) OVER (ORDER BY epoch) - bytes AS before
         FROM (SELECT epoch, run_id, events, octet_length(events) AS bytes FROM ${s}.runs
           WHERE thread_id = $1 AND epoch > $2 AND epoch <= $3 ORDER BY epoch LIMIT $5) AS r) AS q
       WHERE before <= $4 ORDER BY epoch`,
    ),
    eventsOfRuns: named(
      "events_of_runs",
      `SELECT r.thread_id, r.epoch, r.events
       FROM unnest($1::text[], $2::int8[]) AS q(thread_id, epoch)
       JOIN ${s}.runs AS r ON r.thread_id = q.thread_id AND r.epoch = q.epoch`,
    ),
    lastRun: named("last_run", `SELECT max(epoch) AS epoch FROM ${s}.runs WHERE thread_id = $1`),
    // Runs up to the one that makes $4 bytes, and at most $5.
    runsOfView: named(
      "runs_of_view",
      `SELECT epoch, run_id, events FROM (
         SELECT *, sum(bytes) OVER (ORDER BY epoch) - bytes AS before
         FROM (SELECT epoch, run_id, events, octet_length(events) AS bytes FROM ${s}.runs
           WHERE thread_id = $1 AND epoch > $2 AND epoch <= $3 ORDER BY epoch LIMIT $5) AS r) AS q
       WHERE before <= $4 ORDER BY epoch`,
    ),
    keptView: named(
      "kept_view",
      `SELECT up_to, runs, view FROM ${s}.views WHERE thread_id = $1 AND up_to <= $2
       ORDER BY up_to DESC LIMIT 1`,
    ),
    // Runs may have been removed since the view was made: then it shows what is gone.
    keepView: named(
      "keep_view",
      `INSERT INTO ${s}.views (thread_id, up_to, runs, view) SELECT $1::text, $2::int8, $3::int8, $4::bytea
       WHERE (SELECT count(*) FROM ${s}.runs WHERE thread_id = $1 AND epoch <= $2) = $3
       ON CONFLICT DO NOTHING`,
    ),
    keptViews: named(
      "kept_views",
      `SELECT up_to, runs FROM ${s}.views WHERE thread_id = $1 ORDER BY up_to`,
    ),
    dropViews: named(
      "drop_views",
      `DELETE FROM ${s}.views WHERE thread_id = $1 AND up_to = ANY($2::int8[])`,
    ),
    statesOf: named(
      "states_of",
      `SELECT ${THREAD} FROM ${s}.threads WHERE thread_id = ANY($1::text[])`,
    ),
    // At most $4 segments, and up to the one that makes $5 bytes. LATERAL: each run is found by its key.
    segmentsBehind: named(
      "segments_behind",
      `SELECT thread_id, epoch, seq, events, bytes FROM (
         SELECT *, sum(bytes) OVER (ORDER BY thread_id, epoch, seq) - bytes AS before FROM (
           SELECT j.* FROM unnest($1::text[], $2::int8[], $3::int8[]) AS q(thread_id, epoch, seq)
           CROSS JOIN LATERAL (
             SELECT thread_id, epoch, seq, events, octet_length(events) AS bytes
             FROM ${s}.journal AS own
             WHERE own.thread_id = q.thread_id AND own.epoch = q.epoch AND own.seq >= q.seq
               AND own.seq >= 0
             ORDER BY own.seq LIMIT $4) AS j
           ORDER BY j.thread_id, j.epoch, j.seq LIMIT $4) AS s) AS q
       WHERE before <= $5 ORDER BY thread_id, epoch, seq`,
    ),
    ownStops: named(
      "own_stops",
      `SELECT thread_id, epoch, stop FROM ${s}.threads
       WHERE thread_id = ANY($1::text[]) AND owner_id = $2 AND stop > 0`,
    ),
    notify: named("notify", "SELECT pg_notify($1, $2)"),
  };
}

export type Statements = ReturnType<typeof statementsOf>;

/** A row of `threads`, as the driver gives it. */
export interface ThreadColumns {
  readonly thread_id: string;
  readonly epoch: number;
  readonly run_id: string | null;
  readonly owner_id: string | null;
  readonly claim_number: number | null;
  readonly stop: number;
  readonly resource_id: string | null;
  readonly agent_id: string | null;
  readonly runs: number;
}
