import type { Statement } from "../statement.ts";

/** The tables whose rows of a thread go at once, in the transaction that makes it unknown. */
export const DERIVED_TABLES = [
  "views",
  "thread_list",
  "thread_metadata",
  "thread_facts",
  "thread_words",
  "interrupted_runs",
] as const;

/** The statements that remove, fork and purge threads. Like `statementsOf`. */
export function removalStatementsOf(schema: string) {
  const named = (name: string, text: string): Statement => ({ name: `dar_${name}`, text });
  const s = schema;
  return {
    // Waits for transactions that write the thread or its facts.
    lockThread: named(
      "lock_thread",
      `SELECT *, created_at AS made_at, (extract(epoch FROM updated_at) * 1000)::int8 AS updated_ms
       FROM ${s}.threads WHERE thread_id = $1 FOR UPDATE`,
    ),
    readThread: named("read_thread", `SELECT * FROM ${s}.threads WHERE thread_id = $1`),
    // Hinders no run of the thread, only its removal.
    keepThread: named(
      "keep_thread",
      `SELECT *, created_at AS made_at FROM ${s}.threads WHERE thread_id = $1 FOR KEY SHARE`,
    ),

    /* Removing a thread. */
    markRemoved: named(
      "mark_removed",
      `UPDATE ${s}.threads SET unfinished = 'removal', unfinished_by = $2, run_id = NULL,
         owner_id = NULL, claim_number = NULL, stop = 0, epoch = epoch + 1,
         updated_at = clock_timestamp()
       WHERE thread_id = $1`,
    ),
    deleteDerived: DERIVED_TABLES.map((table) =>
      named(`delete_${table}`, `DELETE FROM ${s}.${table} WHERE thread_id = $1`),
    ),
    // The statements with a number delete at most so many rows.
    deleteRuns: named(
      "delete_runs",
      `DELETE FROM ${s}.runs WHERE thread_id = $1 AND epoch IN (
         SELECT epoch FROM ${s}.runs WHERE thread_id = $1 AND epoch <= $2 ORDER BY epoch LIMIT $3)
       RETURNING octet_length(events) + octet_length(input) AS bytes`,
    ),
    deleteMessages: named(
      "delete_messages",
      `DELETE FROM ${s}.messages WHERE thread_id = $1 AND up_to IN (
         SELECT up_to FROM ${s}.messages WHERE thread_id = $1 ORDER BY up_to LIMIT $2)`,
    ),
    // Before the oldest runs of a thread that stays are deleted: their messages stay known.
    keepMessages: named(
      "keep_messages",
      `INSERT INTO ${s}.messages (thread_id, up_to, messages)
       SELECT thread_id, epoch, '[[' || epoch || ',' || messages || ']]' FROM (
         SELECT thread_id, epoch, messages FROM ${s}.runs
         WHERE thread_id = $1 AND epoch <= $2 ORDER BY epoch LIMIT $3) AS r
       WHERE messages <> '' AND epoch > coalesce(
         (SELECT max(up_to) FROM ${s}.messages WHERE thread_id = $1), 0)`,
    ),
    deleteValues: named(
      "delete_values",
      `DELETE FROM ${s}.shared_values WHERE thread_id = $1 AND (log, at) IN (
         SELECT log, at FROM ${s}.shared_values WHERE thread_id = $1 ORDER BY log, at LIMIT $2)
       RETURNING octet_length(text) AS bytes`,
    ),
    deleteThread: named("delete_thread", `DELETE FROM ${s}.threads WHERE thread_id = $1`),
    raiseRemovedEpoch: named(
      "raise_removed_epoch",
      `INSERT INTO ${s}.removed_threads AS r (id, last_epoch) VALUES (1, $1)
       ON CONFLICT (id) DO UPDATE SET last_epoch = greatest(r.last_epoch, excluded.last_epoch)`,
    ),
    lastRemovedEpoch: named(
      "last_removed_epoch",
      `SELECT coalesce(max(last_epoch), 0) AS last_epoch FROM ${s}.removed_threads`,
    ),
    // The epochs of a new thread follow those of all removed threads: it may be one of them again.
    raiseNewThreads: named(
      "raise_new_threads",
      `UPDATE ${s}.threads AS t SET epoch = r.last_epoch FROM ${s}.removed_threads AS r
       WHERE t.thread_id = ANY($1::text[]) AND t.epoch = 0 AND r.last_epoch > 0`,
    ),

    /* Work that is not finished. */
    hasUnfinished: named(
      "has_unfinished",
      `SELECT 1 FROM ${s}.threads WHERE unfinished IS NOT NULL LIMIT 1`,
    ),
    abandonFork: named(
      "abandon_fork",
      `UPDATE ${s}.threads SET unfinished = 'removal'
       WHERE thread_id = $1 AND unfinished = 'fork' AND unfinished_by = $2`,
    ),
    // What this host has left ($2), and what dead hosts have. A part of a fork is removed.
    takeOver: named(
      "take_over",
      `UPDATE ${s}.threads AS t SET unfinished_by = $1,
         unfinished = CASE WHEN unfinished = 'fork' THEN 'removal' ELSE unfinished END
       WHERE unfinished IS NOT NULL AND CASE WHEN unfinished_by = $1 THEN $2::boolean
         ELSE NOT EXISTS (SELECT 1 FROM ${s}.hosts AS h
           WHERE h.instance_id = t.unfinished_by AND NOT h.closed) END
       RETURNING thread_id, unfinished`,
    ),

    /* Shortening a thread, and sweeping its values. */
    shortened: named(
      "shortened",
      `UPDATE ${s}.threads SET runs = runs - $2, unfinished = 'sweep', unfinished_by = $3
       WHERE thread_id = $1`,
    ),
    deleteViews: named("delete_views_of", `DELETE FROM ${s}.views WHERE thread_id = $1`),
    resetFacts: named(
      "reset_facts",
      `INSERT INTO ${s}.thread_facts AS f (thread_id, generation) VALUES ($1, 1)
       ON CONFLICT (thread_id) DO UPDATE SET up_to = 0, facts = NULL, generation = f.generation + 1`,
    ),
    forgetRunWords: named(
      "forget_run_words",
      `DELETE FROM ${s}.thread_words WHERE thread_id = $1 AND epoch > 0`,
    ),
    forgetInterruptedUpTo: named(
      "forget_interrupted_up_to",
      `DELETE FROM ${s}.interrupted_runs WHERE thread_id = $1 AND run_epoch <= $2`,
    ),
    swept: named(
      "swept",
      `UPDATE ${s}.threads SET values_version = $2, unfinished = NULL, unfinished_by = NULL
       WHERE thread_id = $1`,
    ),

    /* Forking. */
    runToFork: named(
      "run_to_fork",
      `SELECT epoch, run_id FROM ${s}.runs WHERE thread_id = $1 AND ($2::text IS NULL OR run_id = $2)
       ORDER BY epoch DESC LIMIT 1`,
    ),
    // A row without runs, as an agent leaves that failed at once, is no thread.
    addFork: named(
      "add_fork",
      `INSERT INTO ${s}.threads AS t
         (thread_id, resource_id, agent_id, unfinished, unfinished_by, last_log)
       VALUES ($1, $2, $3, 'fork', $4, $5)
       ON CONFLICT (thread_id) DO UPDATE SET resource_id = excluded.resource_id,
         agent_id = excluded.agent_id, unfinished = 'fork', unfinished_by = excluded.unfinished_by,
         last_log = excluded.last_log, values_version = 0
       WHERE t.runs = 0 AND t.owner_id IS NULL AND t.unfinished IS NULL
       RETURNING epoch`,
    ),
    raiseEpoch: named(
      "raise_epoch",
      `UPDATE ${s}.threads SET epoch = greatest(epoch, $2) WHERE thread_id = $1`,
    ),
    copyValues: named(
      "copy_values",
      `INSERT INTO ${s}.shared_values (thread_id, log, at, length, text)
       SELECT $2::text, log, at, length, text FROM (
         SELECT *, sum(octet_length(text)) OVER (ORDER BY log, at) - octet_length(text) AS before
         FROM (SELECT * FROM ${s}.shared_values
           WHERE thread_id = $1 AND log <= $3 AND (log, at) > ($4::int8, $5::int8)
           ORDER BY log, at LIMIT $6) AS v) AS q
       WHERE before < $7 ON CONFLICT DO NOTHING
       RETURNING log, at`,
    ),
    copyRuns: named(
      "copy_runs",
      `INSERT INTO ${s}.runs (thread_id, epoch, run_id, agent_id, finished_at, input, events,
         shared_events, shared_input, messages)
       SELECT $2::text, epoch + $3::int8, run_id, agent_id, finished_at, input, events,
         shared_events, shared_input, messages FROM (
         SELECT *, sum(bytes) OVER (ORDER BY epoch) - bytes AS before
         FROM (SELECT *, octet_length(events) + octet_length(input) AS bytes FROM ${s}.runs
           WHERE thread_id = $1 AND epoch > $4 AND epoch <= $5 ORDER BY epoch LIMIT $6) AS r) AS q
       WHERE before < $7
       RETURNING epoch - $3::int8 AS epoch`,
    ),
    // A pack may begin before the last run that is copied, and end behind it.
    messagesToFork: named(
      "messages_to_fork",
      `SELECT up_to, messages FROM ${s}.messages
       WHERE thread_id = $1 AND up_to > $2 ORDER BY up_to LIMIT $3`,
    ),
    // The source may have lost its oldest runs while they were copied.
    dropRunsBefore: named(
      "drop_runs_before",
      `DELETE FROM ${s}.runs WHERE thread_id = $2 AND epoch < $3::int8 + (
         SELECT min(epoch) FROM ${s}.runs WHERE thread_id = $1)`,
    ),
    finishFork: named(
      "finish_fork",
      `UPDATE ${s}.threads SET epoch = greatest(epoch, $2), values_version = $3, unfinished = $4,
         unfinished_by = CASE WHEN $4::text IS NULL THEN NULL ELSE unfinished_by END,
         runs = (SELECT count(*) FROM ${s}.runs AS r WHERE r.thread_id = $1),
         updated_at = clock_timestamp()
       WHERE thread_id = $1`,
    ),
    listFork: named(
      "list_fork",
      `INSERT INTO ${s}.thread_list
         (thread_id, resource_id, agent_id, created_at, updated_at, title, forked_from)
       SELECT $2::text, $3::text, $4::text, $5::int8, $5::int8,
         (SELECT title FROM ${s}.thread_list WHERE thread_id = $1), $6::text`,
    ),
    copyMetadata: named(
      "copy_metadata",
      `INSERT INTO ${s}.thread_metadata (thread_id, metadata, fields)
       SELECT $2::text, metadata, fields FROM ${s}.thread_metadata WHERE thread_id = $1`,
    ),
    copyTitleWords: named(
      "copy_title_words",
      `INSERT INTO ${s}.thread_words (thread_id, epoch, part, words)
       SELECT $2::text, epoch, part, words FROM ${s}.thread_words WHERE thread_id = $1 AND epoch = 0`,
    ),

    /* Purging. */
    purgeHolder: named("purge_holder", `SELECT instance_id FROM ${s}.purge_lease WHERE id = 1`),
    // Of several hosts that find a lease without a live holder, one gets it.
    takePurgeLease: named(
      "take_purge_lease",
      `INSERT INTO ${s}.purge_lease AS p (id, instance_id) VALUES (1, $1)
       ON CONFLICT (id) DO UPDATE SET instance_id = excluded.instance_id
       WHERE p.instance_id = $2 OR p.instance_id = excluded.instance_id`,
    ),
    holdPurgeLease: named(
      "hold_purge_lease",
      `SELECT 1 FROM ${s}.purge_lease WHERE id = 1 AND instance_id = $1 FOR SHARE`,
    ),
    endPurgeLease: named("end_purge_lease", `DELETE FROM ${s}.purge_lease WHERE instance_id = $1`),
    countListed: named(
      "count_listed",
      `SELECT count(*) AS threads FROM ${s}.thread_list
       WHERE (archived OR NOT $1::boolean) AND ($2::text IS NULL OR resource_id = $2)`,
    ),
    isArchived: named(
      "is_archived",
      `SELECT 1 FROM ${s}.thread_list WHERE thread_id = $1 AND archived`,
    ),
    // Those that were updated the longest ago come first. Each half is read along an index.
    oldestListed: named("oldest_listed", oldestListed(s, "")),
    oldestListedOf: named("oldest_listed_of", oldestListed(s, "l.resource_id = $5 AND")),
    sizesOf: named(
      "sizes_of",
      `SELECT q.id AS thread_id,
         (SELECT count(*) FROM ${s}.runs AS r WHERE r.thread_id = q.id AND r.epoch <= q.up_to) AS runs,
         (SELECT coalesce(sum(octet_length(events) + octet_length(input)), 0) FROM ${s}.runs AS r
           WHERE r.thread_id = q.id AND r.epoch <= q.up_to)::int8 AS bytes,
         (SELECT coalesce(sum(octet_length(text)), 0) FROM ${s}.shared_values AS v
           WHERE v.thread_id = q.id)::int8 AS value_bytes
       FROM unnest($1::text[], $2::int8[]) AS q(id, up_to)`,
    ),
    // Of these threads, those with more than so many runs, and the last run that is not among their latest.
    tooLong: named(
      "too_long",
      `SELECT t.thread_id, b.epoch AS up_to FROM ${s}.threads AS t
       CROSS JOIN LATERAL (SELECT r.epoch FROM ${s}.runs AS r WHERE r.thread_id = t.thread_id
         ORDER BY r.epoch DESC LIMIT 1 OFFSET $2) AS b
       WHERE t.thread_id = ANY($1::text[]) AND t.runs > $2`,
    ),

    /* Erasing. */
    // Reads the whole table: a host may not have written the newest threads to `thread_list` yet.
    threadsOfResource: named(
      "threads_of_resource",
      `SELECT thread_id FROM ${s}.threads WHERE resource_id = $1`,
    ),
    // What is left of an earlier thread of the id. A new thread has higher epochs.
    deleteRemovedJournal: named(
      "delete_removed_journal",
      `DELETE FROM ${s}.journal WHERE thread_id = $1
         AND epoch <= (SELECT last_epoch FROM ${s}.removed_threads)`,
    ),
    deleteJournal: named("delete_journal", `DELETE FROM ${s}.journal WHERE thread_id = $1`),
    forgetOrigins: named(
      "forget_origins",
      `UPDATE ${s}.thread_list AS l SET forked_from = NULL FROM unnest($1::text[]) AS q(beginning)
       WHERE l.forked_from IS NOT NULL AND starts_with(l.forked_from, q.beginning)`,
    ),
  };
}

function oldestListed(s: string, whose: string): string {
  const half = (archived: string) =>
    `SELECT l.thread_id, l.updated_at FROM ${s}.thread_list AS l
     WHERE ${whose} ${archived} AND (l.updated_at, l.thread_id) > ($1::int8, $2::text)
     ORDER BY l.updated_at, l.thread_id LIMIT $3`;
  // The list may lag behind.
  return `SELECT q.thread_id, q.updated_at AS listed_at,
      greatest(q.updated_at, (extract(epoch FROM t.updated_at) * 1000)::int8) AS updated_at
    FROM ((${half("NOT l.archived AND $4::boolean")}) UNION ALL (${half("l.archived")})) AS q
    LEFT JOIN ${s}.threads AS t ON t.thread_id = q.thread_id
    ORDER BY q.updated_at, q.thread_id LIMIT $3`;
}
