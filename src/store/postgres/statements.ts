import { hostStatementsOf } from "./host-statements.ts";
import { removalStatementsOf } from "./removal/statements.ts";
import { transferStatementsOf } from "./removal/transfer-statements.ts";
import { notHidden, type Statement, type Unfinished } from "./statement.ts";
import { threadStatementsOf } from "./threads/thread-statements.ts";
import { valueStatementsOf } from "./values/statements.ts";

export type { Statement } from "./statement.ts";

/** The columns of a thread that a transaction decides by. */
const THREAD =
  "thread_id, epoch, run_id, owner_id, claim_number, stop, resource_id, agent_id, runs, values_version, last_log, unfinished, created_at AS made_at, xmin";

/**
 * Names a start of a server. After a failover, or from a backup, another one may lack what was committed last, and
 * use the numbers of those transactions again.
 */
const SERVER = "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8";

export interface StatementsOptions {
  readonly schema: string;
  /** Milliseconds after which a host gives up a connection without an answer. */
  readonly answerTimeoutMs: number;
}

/**
 * All statements of a schema. Arrays are binary: see `binary-arrays.ts`. Rows are written from `unnest` in a list of
 * columns: in a FROM clause, the server would first copy all of them.
 */
export function statementsOf({ schema, answerTimeoutMs }: StatementsOptions) {
  const named = (name: string, text: string): Statement => ({ name: `dar_${name}`, text });
  const s = schema;
  return {
    ...valueStatementsOf(schema),
    ...removalStatementsOf(schema),
    ...transferStatementsOf(schema),
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
         set_config('enable_mergejoin', 'off', true), ${SERVER} AS server`,
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
    // Fails with DIVISION_BY_ZERO when the row of a thread is not the one that the transaction read, or assumed.
    // `xmin` is the transaction that wrote the row last.
    saveThreads: named(
      "save_threads",
      `WITH saved AS (
         UPDATE ${s}.threads AS t SET epoch = q.epoch, run_id = q.run_id, owner_id = q.owner_id,
           claim_number = q.claim_number, stop = q.stop, resource_id = q.resource_id,
           agent_id = q.agent_id, runs = q.runs, values_version = q.values_version,
           last_log = q.last_log, updated_at = clock_timestamp()
         FROM (SELECT unnest($1::text[]) AS thread_id, unnest($2::xid[]) AS xmin,
             unnest($3::int8[]) AS epoch, unnest($4::text[]) AS run_id,
             unnest($5::text[]) AS owner_id, unnest($6::int8[]) AS claim_number,
             unnest($7::int8[]) AS stop, unnest($8::text[]) AS resource_id,
             unnest($9::text[]) AS agent_id, unnest($10::int8[]) AS runs,
             unnest($11::int8[]) AS values_version, unnest($12::int8[]) AS last_log) AS q
         WHERE t.thread_id = q.thread_id AND t.xmin = q.xmin
         RETURNING 1)
       SELECT 1 / (count(*) = $13 AND ${SERVER} = $14)::int, pg_current_xact_id()::xid AS xmin
       FROM saved`,
    ),
    // For rows that were not read in this transaction. Fails as `saveThreads` does.
    lockAssumed: named(
      "lock_assumed",
      `WITH assumed AS (
         SELECT 1 FROM (SELECT unnest($1::text[]) AS thread_id, unnest($2::xid[]) AS xmin) AS q
         JOIN ${s}.threads AS t ON t.thread_id = q.thread_id
         WHERE t.xmin = q.xmin
         ORDER BY t.thread_id FOR NO KEY UPDATE OF t)
       SELECT 1 / (count(*) = $3 AND ${SERVER} = $4)::int FROM assumed`,
    ),
    // The messages of runs behind an epoch. Rows of `messages` may begin before it.
    messagesSince: named(
      "messages_since",
      `SELECT q.thread_id, m.up_to AS epoch, m.messages, true AS is_pack
       FROM unnest($1::text[], $2::int8[]) AS q(thread_id, epoch)
       JOIN ${s}.messages AS m ON m.thread_id = q.thread_id AND m.up_to > q.epoch
       UNION ALL
       SELECT q.thread_id, r.epoch, r.messages, false
       FROM unnest($1::text[], $2::int8[]) AS q(thread_id, epoch)
       JOIN ${s}.runs AS r ON r.thread_id = q.thread_id AND r.epoch > greatest(q.epoch,
         (SELECT max(m.up_to) FROM ${s}.messages AS m WHERE m.thread_id = q.thread_id))
       ORDER BY 4 DESC, 2`,
    ),
    addMessages: named(
      "add_messages",
      `INSERT INTO ${s}.messages (thread_id, up_to, messages)
       SELECT * FROM unnest($1::text[], $2::int8[], $3::text[]) ON CONFLICT DO NOTHING`,
    ),
    addRuns: named(
      "add_runs",
      `INSERT INTO ${s}.runs
         (thread_id, epoch, run_id, agent_id, finished_at, input, messages, events, shared_input,
           shared_events)
       SELECT unnest($1::text[]), unnest($2::int8[]), unnest($3::text[]), unnest($4::text[]),
         unnest($5::int8[]), unnest($6::text[]), unnest($7::text[]), unnest($8::text[]),
         unnest($9::text[]), unnest($10::text[])`,
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
       SELECT unnest($1::text[]), unnest($2::int8[]), unnest($3::int8[]), unnest($4::text[])
       ON CONFLICT DO NOTHING`,
    ),
    // Not that of a run which holds its thread: after a failover that lost a run, its epoch comes again.
    deleteJournals: named(
      "delete_journals",
      `DELETE FROM ${s}.journal AS j USING unnest($1::text[], $2::int8[]) AS q(thread_id, epoch)
       WHERE j.thread_id = q.thread_id AND j.epoch = q.epoch AND NOT EXISTS (
         SELECT 1 FROM ${s}.threads AS t WHERE t.thread_id = j.thread_id AND t.epoch = j.epoch
           AND t.owner_id IS NOT NULL)`,
    ),
    journal: named(
      "journal",
      `SELECT seq, events FROM ${s}.journal
       WHERE thread_id = $1 AND epoch = $2 AND (seq >= $3 OR seq < 0) ORDER BY seq`,
    ),
    // The input, and segments up to the one that makes $4 bytes.
    journalPiece: named(
      "journal_piece",
      `SELECT seq, events FROM (
         SELECT seq, events, sum(bytes) OVER (ORDER BY seq) - bytes AS before FROM (
           SELECT seq, events, octet_length(events) AS bytes FROM ${s}.journal
           WHERE thread_id = $1 AND epoch = $2 AND (seq >= $3 OR seq = -1)) AS j) AS p
       WHERE before < $4 OR seq = -1 ORDER BY seq`,
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
      `SELECT epoch, run_id FROM ${s}.runs WHERE thread_id = $1 AND epoch <= $2
       ORDER BY epoch DESC LIMIT 1 OFFSET $3`,
    ),
    // Runs up to the one that fills a page of $4 bytes. A longer run comes without its events.
    page: named(
      "page",
      `SELECT epoch, run_id, finished_at, CASE WHEN bytes <= $4 THEN events END AS events, shared_events
       FROM (SELECT *, sum(bytes) OVER (ORDER BY epoch) - bytes AS before
         FROM (SELECT epoch, run_id, finished_at, events, shared_events, octet_length(events) AS bytes
           FROM ${s}.runs
           WHERE thread_id = $1 AND epoch > $2 AND epoch <= $3 ORDER BY epoch LIMIT $5) AS r) AS q
       WHERE before <= $4 ORDER BY epoch`,
    ),
    eventsOfRuns: named(
      "events_of_runs",
      `SELECT r.thread_id, r.epoch, r.events, r.shared_events
       FROM unnest($1::text[], $2::int8[]) AS q(thread_id, epoch)
       JOIN ${s}.runs AS r ON r.thread_id = q.thread_id AND r.epoch = q.epoch`,
    ),
    firstAndLastRun: named(
      "first_and_last_run",
      `SELECT (SELECT min(epoch) FROM ${s}.runs WHERE thread_id = $1) AS first,
         (SELECT max(epoch) FROM ${s}.runs WHERE thread_id = $1) AS last
       FROM ${s}.threads AS t WHERE t.thread_id = $1 AND ${notHidden("t")}`,
    ),
    // Runs up to the one that makes $4 bytes, and at most $5.
    runsOfView: named(
      "runs_of_view",
      `SELECT epoch, run_id, events, shared_events FROM (
         SELECT *, sum(bytes) OVER (ORDER BY epoch) - bytes AS before
         FROM (SELECT epoch, run_id, events, shared_events, octet_length(events) AS bytes
           FROM ${s}.runs WHERE thread_id = $1 AND epoch > $2 AND epoch <= $3 ORDER BY epoch LIMIT $5) AS r) AS q
       WHERE before <= $4 ORDER BY epoch`,
    ),
    keptView: named(
      "kept_view",
      `SELECT up_to, runs, view FROM ${s}.views WHERE thread_id = $1 AND up_to <= $2
       ORDER BY up_to DESC LIMIT 1`,
    ),
    // Runs may have been removed since the view was made: then it shows what is gone.
    // Hinders no run of the thread, only its removal. Fails with LOCK_NOT_AVAILABLE during one.
    holdThread: named(
      "hold_thread",
      `SELECT 1 FROM ${s}.threads WHERE thread_id = $1 FOR KEY SHARE NOWAIT`,
    ),
    keepView: named(
      "keep_view",
      `INSERT INTO ${s}.views (thread_id, up_to, runs, view) SELECT $1::text, $2::int8, $3::int8, $4::bytea
       WHERE (SELECT count(*) FROM ${s}.runs WHERE thread_id = $1 AND epoch <= $2) = $3
       ON CONFLICT (thread_id, up_to) DO UPDATE SET runs = excluded.runs, view = excluded.view
         WHERE views.view <> excluded.view`,
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
    ...hostStatementsOf(schema),
    ...threadStatementsOf(schema),
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
  readonly values_version: number;
  readonly last_log: number;
  readonly unfinished: Unfinished | null;
  /** Missing, as `xmin`, where no transaction goes on with the row. */
  readonly made_at?: string;
  readonly xmin?: string;
}
