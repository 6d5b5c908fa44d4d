import type { PlacesRow } from "../../../events/shared/places.ts";
import { notHidden, type Statement } from "../statement.ts";

/** UTF-8 bytes of events beyond which a run is not read for the facts of its thread. */
const MAX_READ_BYTES = 512 * 1024;

/** Characters at the end of a long run that are read: they have its last event, unless that is very long. */
export const LONG_TAIL = 64 * 1024;
export const SHORT_TAIL = 2048;

const RUN = `r.epoch, r.run_id, r.agent_id, r.finished_at, r.shared_events, r.shared_input,
  octet_length(r.events) + octet_length(r.input) AS bytes`;

/** A stored run, as lists of threads and of runs need it. */
export interface ListedRunColumns extends PlacesRow {
  readonly thread_id: string;
  readonly epoch: number;
  readonly run_id: string;
  readonly agent_id: string | null;
  readonly finished_at: number;
  /** Without shared values. */
  readonly bytes: number;
  /** Null for a run that is too long, and where the events are not asked for. */
  readonly events: string | null;
  /** The end of the events, where they are null. */
  readonly tail: string | null;
}

/** The statements about lists of threads. Like `statementsOf`. */
export function threadStatementsOf(schema: string) {
  const named = (name: string, text: string): Statement => ({ name: `dar_${name}`, text });
  const s = schema;
  return {
    /* Changes, in the transaction that has locked the rows of the threads. */
    touchThreads: named(
      "touch_threads",
      `INSERT INTO ${s}.thread_list AS l (thread_id, resource_id, agent_id, created_at, updated_at)
       SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::int8[])
       ON CONFLICT (thread_id) DO UPDATE SET
         updated_at = greatest(l.updated_at, excluded.updated_at),
         agent_id = coalesce(excluded.agent_id, l.agent_id)`,
    ),
    listThread: named(
      "list_thread",
      `INSERT INTO ${s}.thread_list (thread_id, resource_id, agent_id, created_at, updated_at)
       VALUES ($1, $2, $3, $4, $4) ON CONFLICT DO NOTHING`,
    ),
    forgetListed: named(
      "forget_listed",
      `DELETE FROM ${s}.thread_list WHERE thread_id = ANY($1::text[])`,
    ),
    forgetMetadata: named(
      "forget_metadata",
      `DELETE FROM ${s}.thread_metadata WHERE thread_id = ANY($1::text[])`,
    ),
    forgetTitleWords: named(
      "forget_title_words",
      `DELETE FROM ${s}.thread_words WHERE thread_id = ANY($1::text[]) AND epoch = 0`,
    ),
    setTitle: named(
      "set_title",
      `UPDATE ${s}.thread_list SET title = $2 WHERE thread_id = $1 AND (title IS NULL OR NOT $3)`,
    ),
    addTitleWords: named(
      "add_title_words",
      `INSERT INTO ${s}.thread_words (thread_id, epoch, part, words)
       VALUES ($1, 0, 0, array_to_tsvector($2::text[]))`,
    ),
    setArchived: named(
      "set_archived",
      `UPDATE ${s}.thread_list SET archived = $2 WHERE thread_id = $1 AND archived <> $2`,
    ),
    setMetadata: named(
      "set_metadata",
      `INSERT INTO ${s}.thread_metadata (thread_id, metadata, fields) VALUES ($1, $2, $3::text[])
       ON CONFLICT (thread_id) DO UPDATE SET metadata = excluded.metadata, fields = excluded.fields`,
    ),

    /* Interrupted runs. */
    interruptedRun: named(
      "interrupted_run",
      `SELECT thread_id, run_epoch, offered_in, rerun_epoch, attempt, started_at, taken_by
       FROM ${s}.interrupted_runs WHERE thread_id = $1`,
    ),
    runOfInput: named(
      "run_of_input",
      `SELECT run_id, events, input, shared_events, shared_input
       FROM ${s}.runs WHERE thread_id = $1 AND epoch = $2`,
    ),
    // When the claim was written that holds the thread, unless its run was asked to stop.
    claimedAt: named(
      "claimed_at",
      `SELECT (extract(epoch FROM updated_at) * 1000)::int8 AS at FROM ${s}.threads WHERE thread_id = $1`,
    ),
    offerRun: named(
      "offer_run",
      `INSERT INTO ${s}.interrupted_runs (thread_id, run_epoch, offered_in, attempt, started_at)
       VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (thread_id) DO UPDATE SET run_epoch = excluded.run_epoch,
         offered_in = excluded.offered_in, rerun_epoch = NULL, attempt = excluded.attempt,
         started_at = excluded.started_at, taken_by = NULL`,
    ),
    takeRun: named(
      "take_run",
      `UPDATE ${s}.interrupted_runs SET taken_by = $2, attempt = $3 WHERE thread_id = $1`,
    ),
    settleRun: named("settle_run", `DELETE FROM ${s}.interrupted_runs WHERE thread_id = $1`),
    beginRerun: named(
      "begin_rerun",
      `UPDATE ${s}.interrupted_runs SET rerun_epoch = $2 WHERE thread_id = $1`,
    ),
    offeredRuns: named(
      "offered_runs",
      `SELECT i.thread_id, i.run_epoch, i.attempt, i.taken_by FROM ${s}.interrupted_runs AS i
       JOIN ${s}.threads AS t ON t.thread_id = i.thread_id
       WHERE t.epoch = i.offered_in AND t.owner_id IS NULL
       ORDER BY i.attempt, i.thread_id LIMIT $1`,
    ),
    // Those that are not offered any more, and whose rerun is over.
    forgetInterrupted: named(
      "forget_interrupted",
      `DELETE FROM ${s}.interrupted_runs AS i WHERE NOT EXISTS (
         SELECT 1 FROM ${s}.threads AS t WHERE t.thread_id = i.thread_id AND (
           t.owner_id IS NULL AND t.epoch = i.offered_in
           OR t.owner_id IS NOT NULL AND t.epoch = i.rerun_epoch))`,
    ),

    /* Reads. */
    summaries: named(
      "summaries",
      `SELECT t.thread_id, t.epoch, t.run_id, t.owner_id, t.claim_number, t.stop, t.resource_id,
         t.agent_id, t.runs, (extract(epoch FROM t.created_at) * 1000)::int8 AS known_at,
         l.agent_id AS last_agent_id, l.archived, l.created_at, l.updated_at, l.title, l.forked_from,
         m.metadata, f.up_to, f.facts,
         (SELECT max(r.epoch) FROM ${s}.runs AS r WHERE r.thread_id = t.thread_id) AS last_run
       FROM ${s}.threads AS t
       LEFT JOIN ${s}.thread_list AS l ON l.thread_id = t.thread_id
       LEFT JOIN ${s}.thread_metadata AS m ON m.thread_id = t.thread_id
       LEFT JOIN ${s}.thread_facts AS f ON f.thread_id = t.thread_id
       WHERE t.thread_id = ANY($1::text[]) AND ${notHidden("t")}`,
    ),
    // So many runs a thread at most, and of each thread those up to the one that makes $4 bytes in all.
    runsBehindFacts: named(
      "runs_behind_facts",
      `SELECT thread_id, epoch, run_id, agent_id, finished_at, bytes, shared_events, shared_input,
         CASE WHEN octet_length(events) <= ${MAX_READ_BYTES} THEN events END AS events,
         CASE WHEN octet_length(events) > ${MAX_READ_BYTES} THEN right(events, ${LONG_TAIL}) END AS tail
       FROM (
         SELECT *, sum(bytes) OVER (ORDER BY thread_id, epoch) - bytes AS before FROM (
           SELECT b.* FROM unnest($1::text[], $2::int8[]) AS q(thread_id, up_to)
           CROSS JOIN LATERAL (
             SELECT r.thread_id, ${RUN}, r.events FROM ${s}.runs AS r
             WHERE r.thread_id = q.thread_id AND r.epoch > q.up_to ORDER BY r.epoch LIMIT $3) AS b) AS c) AS d
       WHERE before <= $4 ORDER BY thread_id, epoch`,
    ),
    runsAfter: named(
      "runs_after",
      `SELECT r.thread_id, ${RUN}, NULL AS events, right(r.events, $4::int4) AS tail
       FROM ${s}.runs AS r WHERE r.thread_id = $1 AND r.epoch > $2 ORDER BY r.epoch LIMIT $3`,
    ),
    tailsOfRuns: named(
      "tails_of_runs",
      `SELECT r.epoch, right(r.events, $3::int4) AS tail
       FROM ${s}.runs AS r WHERE r.thread_id = $1 AND r.epoch = ANY($2::int8[])`,
    ),

    /* Who holds what: $1 for the threads of all resources, else those of $2. Reads whole tables: nobody else asks. */
    heldThreads: named(
      "held_threads",
      `SELECT thread_id, epoch, run_id, owner_id, stop,
         (extract(epoch FROM updated_at) * 1000)::int8 AS claimed_at, count(*) OVER () AS total
       FROM ${s}.threads AS t
       WHERE owner_id IS NOT NULL AND ${notHidden("t")} AND ($1 OR resource_id IS NOT DISTINCT FROM $2)
       ORDER BY updated_at, thread_id LIMIT $3`,
    ),
    heldThread: named(
      "held_thread",
      `SELECT thread_id, epoch, run_id, owner_id, stop,
         (extract(epoch FROM updated_at) * 1000)::int8 AS claimed_at, 1 AS total
       FROM ${s}.threads AS t
       WHERE owner_id IS NOT NULL AND ${notHidden("t")} AND ($1 OR resource_id IS NOT DISTINCT FROM $2)
         AND thread_id = $3`,
    ),
    hostsSeen: named(
      "hosts_seen",
      `SELECT instance_id, lease_ms, (extract(epoch FROM seen_at) * 1000)::int8 AS seen_at,
         (SELECT count(*) FROM ${s}.threads AS t WHERE t.owner_id = instance_id) AS held
       FROM ${s}.hosts ORDER BY instance_id`,
    ),
    journalSizes: named(
      "journal_sizes",
      `SELECT thread_id, epoch, count(*) AS segments, sum(octet_length(events))::int8 AS bytes
       FROM ${s}.journal GROUP BY thread_id, epoch`,
    ),

    // A list is read in the order of an index. Without statistics, the server would rather sort it.
    inOrder: named("in_order", "SELECT set_config('enable_bitmapscan', 'off', true)"),

    /* Counts up to a limit, which say by what a search is driven. */
    countResource: named(
      "count_resource",
      `SELECT count(*) FROM (SELECT 1 FROM ${s}.thread_list WHERE resource_id = $1 LIMIT $2) AS c`,
    ),
    countWord: named(
      "count_word",
      `SELECT count(*) FROM (SELECT 1 FROM ${s}.thread_words WHERE words @@ $1::tsquery LIMIT $2) AS c`,
    ),
    countFields: named(
      "count_fields",
      `SELECT count(*) FROM (SELECT 1 FROM ${s}.thread_metadata WHERE fields @> $1::text[] LIMIT $2) AS c`,
    ),

    /* The indexer. */
    factsOf: named(
      "facts_of",
      `SELECT t.thread_id, coalesce(f.up_to, 0) AS up_to, f.facts, coalesce(f.generation, 0) AS generation
       FROM ${s}.threads AS t LEFT JOIN ${s}.thread_facts AS f ON f.thread_id = t.thread_id
       WHERE t.thread_id = ANY($1::text[])`,
    ),
    // Hinders no claim, and waits for those that remove threads or runs.
    keepThreads: named(
      "keep_threads",
      `SELECT 1 FROM ${s}.threads WHERE thread_id = ANY($1::text[]) ORDER BY thread_id FOR KEY SHARE`,
    ),
    addFacts: named(
      "add_facts",
      `INSERT INTO ${s}.thread_facts (thread_id) SELECT q.id FROM unnest($1::text[], $2::int8[]) AS q(id, epoch)
       WHERE EXISTS (SELECT 1 FROM ${s}.runs AS r WHERE r.thread_id = q.id AND r.epoch = q.epoch)
       ORDER BY q.id COLLATE "C" ON CONFLICT DO NOTHING`,
    ),
    lockFacts: named(
      "lock_facts",
      `SELECT 1 FROM ${s}.thread_facts WHERE thread_id = ANY($1::text[]) ORDER BY thread_id FOR UPDATE`,
    ),
    // Not where another host has gone on, or runs were removed since they were read.
    putFacts: named(
      "put_facts",
      `UPDATE ${s}.thread_facts AS f SET up_to = q.up_to, facts = q.facts
       FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::text[])
         AS q(thread_id, generation, before, up_to, facts)
       WHERE f.thread_id = q.thread_id AND f.generation = q.generation AND f.up_to = q.before
         AND EXISTS (SELECT 1 FROM ${s}.runs AS r WHERE r.thread_id = q.thread_id AND r.epoch = q.up_to)`,
    ),
    // Of the words that came with these facts, those that the thread does not have yet.
    addWords: named(
      "add_words",
      `INSERT INTO ${s}.thread_words (thread_id, epoch, part, words)
       SELECT thread_id, up_to, part, words FROM (
         SELECT q.thread_id, q.up_to, q.part, ts_delete(array_to_tsvector(string_to_array(q.words, ' ')),
           ARRAY(SELECT unnest(tsvector_to_array(w.words)) FROM ${s}.thread_words AS w
             WHERE w.thread_id = q.thread_id AND w.epoch > 0)) AS words
         FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::text[])
           AS q(thread_id, generation, up_to, part, words)
         JOIN ${s}.thread_facts AS f ON f.thread_id = q.thread_id AND f.generation = q.generation
           AND f.up_to = q.up_to) AS a
       WHERE length(words) > 0 ON CONFLICT DO NOTHING`,
    ),
    // Of so many threads behind this one, those whose facts or whose row in the list lag behind.
    threadsBehind: named(
      "threads_behind",
      `SELECT thread_id, is_behind FROM (
         SELECT t.thread_id, t.runs > 0 AND ${notHidden("t")} AND (l.thread_id IS NULL OR coalesce(f.up_to, 0) < (
             SELECT max(r.epoch) FROM ${s}.runs AS r WHERE r.thread_id = t.thread_id)) AS is_behind
         FROM (SELECT thread_id, runs, unfinished FROM ${s}.threads WHERE thread_id > $1 ORDER BY thread_id LIMIT $2) AS t
         LEFT JOIN ${s}.thread_list AS l ON l.thread_id = t.thread_id
         LEFT JOIN ${s}.thread_facts AS f ON f.thread_id = t.thread_id) AS q
       ORDER BY thread_id`,
    ),
    listedOf: named(
      "listed_of",
      `SELECT thread_id, updated_at FROM ${s}.thread_list WHERE thread_id = ANY($1::text[])`,
    ),
  };
}
