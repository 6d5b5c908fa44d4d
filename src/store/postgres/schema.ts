import { RunStoreError } from "../../protocol/errors.ts";
import type { Send } from "./connection.ts";
import { THREAD_TABLES } from "./threads/thread-tables.ts";

/** The schema version that this code writes. A database of a newer version is refused. */
export const SCHEMA_VERSION = 1;

/** The advisory lock under which one host migrates at a time. Any number that others do not use. */
const MIGRATION_LOCK = 7_203_681_145;

/**
 * Every unique key begins with `thread_id`, so that Citus can distribute the tables by it. `hosts`, `removed_threads`,
 * `purge_lease` and `schema_version` are small, and are not distributed.
 *
 * `threads` has no index on what changes with each run: PostgreSQL then updates a row within its page. The
 * free space in its pages is for that.
 *
 * Events and inputs are stored without compression (`EXTERNAL`), in their row up to 8 kB: that halves the
 * server's time for an insert. Values that runs share are written once, and compressed. `text` and not `jsonb`,
 * which reorders keys.
 */
const TABLES = (schema: string) => `
CREATE TABLE ${schema}.hosts (
  instance_id text PRIMARY KEY,
  lease_ms int8 NOT NULL,
  -- A new number with each heartbeat.
  beat int8 NOT NULL,
  -- The host ends no more runs: what it holds can be taken at once.
  closed boolean NOT NULL DEFAULT false,
  -- Its runs are offered for a rerun when it dies.
  offers_interrupted boolean NOT NULL DEFAULT false,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE ${schema}.threads (
  thread_id text COLLATE "C" PRIMARY KEY,
  -- The epoch of the last claim.
  epoch int8 NOT NULL DEFAULT 0,
  -- The run that holds the thread. Null when it is free.
  run_id text,
  owner_id text,
  claim_number int8,
  -- 1: the run has to stop. 2: it has to stop, and stores nothing.
  stop int8 NOT NULL DEFAULT 0,
  resource_id text,
  agent_id text,
  -- Stored runs.
  runs int8 NOT NULL DEFAULT 0,
  -- A new number with each change of the values of the thread, 0 before the first, and its last log.
  values_version int8 NOT NULL DEFAULT 0,
  last_log int8 NOT NULL DEFAULT 0,
  -- What a host does with the thread, in several transactions, and that host. Null for nothing.
  -- removal, fork: the thread is unknown until that is done. sweep: of values that no run uses any more.
  unfinished text,
  unfinished_by text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70);
CREATE INDEX threads_unfinished ON ${schema}.threads (thread_id) WHERE unfinished IS NOT NULL;
-- No epoch of a thread that was removed is higher.
CREATE TABLE ${schema}.removed_threads (id int8 PRIMARY KEY, last_epoch int8 NOT NULL);
-- The host that purges.
CREATE TABLE ${schema}.purge_lease (id int8 PRIMARY KEY, instance_id text NOT NULL);
CREATE TABLE ${schema}.runs (
  thread_id text COLLATE "C" NOT NULL,
  epoch int8 NOT NULL,
  run_id text NOT NULL,
  agent_id text,
  finished_at int8 NOT NULL,
  input text NOT NULL,
  -- The digests of its messages that no earlier run of the thread has: JSON, or empty.
  messages text NOT NULL DEFAULT '',
  events text NOT NULL,
  -- Where values go back in that were taken out: JSON arrays of places, or null.
  shared_events text,
  shared_input text,
  PRIMARY KEY (thread_id, epoch)
) WITH (toast_tuple_target = 8160);
ALTER TABLE ${schema}.runs ALTER COLUMN events SET STORAGE EXTERNAL,
  ALTER COLUMN input SET STORAGE EXTERNAL, ALTER COLUMN messages SET STORAGE EXTERNAL;
CREATE TABLE ${schema}.journal (
  thread_id text COLLATE "C" NOT NULL,
  epoch int8 NOT NULL,
  -- -1 for the input of the run.
  seq int8 NOT NULL,
  events text NOT NULL,
  PRIMARY KEY (thread_id, epoch, seq)
) WITH (toast_tuple_target = 8160);
ALTER TABLE ${schema}.journal ALTER COLUMN events SET STORAGE EXTERNAL;
CREATE TABLE ${schema}.messages (
  thread_id text COLLATE "C" NOT NULL,
  -- The epoch of the last run that this row covers. It covers the runs since the row before.
  up_to int8 NOT NULL,
  -- The \`messages\` of these runs. They are known even when the runs were purged.
  messages text NOT NULL,
  PRIMARY KEY (thread_id, up_to)
) WITH (toast_tuple_target = 8160);
ALTER TABLE ${schema}.messages ALTER COLUMN messages SET STORAGE EXTERNAL;
-- Values that come again in run after run, once a thread: rows of logs, which only grow at their ends.
CREATE TABLE ${schema}.shared_values (
  thread_id text COLLATE "C" NOT NULL,
  log int8 NOT NULL,
  -- Position in the log, and length, in UTF-16 units.
  at int8 NOT NULL,
  length int8 NOT NULL,
  text text NOT NULL,
  PRIMARY KEY (thread_id, log, at)
);
CREATE TABLE ${schema}.views (
  thread_id text COLLATE "C" NOT NULL,
  -- The epoch of the last run that the view shows.
  up_to int8 NOT NULL,
  -- How many runs of the thread there are up to that one.
  runs int8 NOT NULL,
  -- Packed: src/runs/packed-view.ts.
  view bytea NOT NULL,
  PRIMARY KEY (thread_id, up_to)
);
ALTER TABLE ${schema}.views ALTER COLUMN view SET STORAGE EXTERNAL;
${THREAD_TABLES(schema)}
CREATE TABLE ${schema}.schema_version (version int8 PRIMARY KEY);
`;

/**
 * Makes or updates the tables, in one transaction and under a lock: of several hosts that start together,
 * one does it.
 *
 * @throws {RunStoreError} `SCHEMA_TOO_NEW`
 */
export async function migrate(send: Send, schema: string): Promise<void> {
  const run = (text: string) => send({ name: "", text });
  await run("BEGIN");
  try {
    await run(`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`);
    // The privilege to make a schema is needed only where there is none.
    const found = await run(`SELECT to_regnamespace('${schema}') IS NOT NULL AS is_there`);
    if (found.rows[0]?.is_there !== true) await run(`CREATE SCHEMA ${schema}`);
    const { rows } = await run(
      `SELECT to_regclass('${schema}.schema_version') IS NOT NULL AS is_there`,
    );
    if (rows[0]?.is_there !== true) {
      for (const text of statementsOf(TABLES(schema))) await run(text);
      await run(`INSERT INTO ${schema}.schema_version VALUES (${SCHEMA_VERSION})`);
    } else {
      const versions = await run(`SELECT max(version) AS version FROM ${schema}.schema_version`);
      const version = Number(versions.rows[0]?.version ?? 0);
      if (version > SCHEMA_VERSION) {
        throw new RunStoreError(
          "SCHEMA_TOO_NEW",
          `expected a database of schema version ${SCHEMA_VERSION} or older, got version ${version}: a newer release wrote it; update the package`,
        );
      }
    }
    await run("COMMIT");
  } catch (error) {
    // Fails where the connection is gone, and then says nothing new.
    await run("ROLLBACK").catch(() => undefined);
    throw error;
  }
}

/** The driver takes one statement at a time. No statement of `TABLES` has a semicolon within it. */
function statementsOf(script: string): string[] {
  return script.split(";").filter((text) => text.trim() !== "");
}
