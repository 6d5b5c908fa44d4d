/**
 * What lists of threads and searches need, and the interrupted runs. None of it is in `threads`, whose rows
 * change with each run: a row there is updated within its page as long as no index has what changes.
 *
 * A row of `thread_list` is made with the first claim of a thread, and deleted when that run stored nothing.
 * `thread_facts` and `thread_words` are made from the runs, after they are stored: see `ThreadIndexer`. Long
 * ids of resources are hashed, and of agents the beginning is indexed: an entry of an index has at most 2700 bytes.
 */
export const THREAD_TABLES = (schema: string) => `
CREATE TABLE ${schema}.thread_list (
  thread_id text COLLATE "C" PRIMARY KEY,
  -- See \`toResourceKey\`. Empty for a thread of nobody.
  resource_id text COLLATE "C" NOT NULL,
  -- The agent of the last run that has one.
  agent_id text COLLATE "C",
  archived boolean NOT NULL DEFAULT false,
  -- Milliseconds since the epoch.
  created_at int8 NOT NULL,
  -- Milliseconds since the epoch when a run began or ended last.
  updated_at int8 NOT NULL,
  -- The title that was set. Null for the default title.
  title text,
  -- JSON of a ForkOrigin, or null.
  forked_from text
) WITH (fillfactor = 85);
CREATE INDEX thread_list_updated ON ${schema}.thread_list
  (resource_id, archived, updated_at, thread_id, left(agent_id, 100));
CREATE INDEX thread_list_created ON ${schema}.thread_list
  (resource_id, archived, created_at, thread_id, left(agent_id, 100));
CREATE INDEX thread_list_all_updated ON ${schema}.thread_list
  (archived, updated_at, thread_id, left(agent_id, 100));
CREATE INDEX thread_list_all_created ON ${schema}.thread_list
  (archived, created_at, thread_id, left(agent_id, 100));
CREATE TABLE ${schema}.thread_metadata (
  thread_id text COLLATE "C" PRIMARY KEY,
  -- JSON of an object. A thread without metadata has no row.
  metadata text NOT NULL,
  -- For each field by which a list can be filtered, the hash of its name and value.
  fields text[] NOT NULL
);
CREATE INDEX thread_metadata_fields ON ${schema}.thread_metadata USING gin (fields);
CREATE TABLE ${schema}.thread_facts (
  thread_id text COLLATE "C" PRIMARY KEY,
  -- The epoch of the last run that the facts tell of. 0: they tell of none, and are made from the first run.
  up_to int8 NOT NULL DEFAULT 0,
  -- JSON of ThreadFacts. Null when they tell of no run.
  facts text,
  -- Raised whenever the facts are to be made again, because runs were removed.
  generation int8 NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE TABLE ${schema}.thread_words (
  thread_id text COLLATE "C" NOT NULL,
  -- 0 for the words of the title that was set, else \`up_to\` of the facts with which the words came.
  epoch int8 NOT NULL,
  part int8 NOT NULL,
  -- Without positions. Words that earlier rows of the thread's runs have are left out.
  words tsvector NOT NULL,
  PRIMARY KEY (thread_id, epoch, part)
);
CREATE INDEX thread_words_words ON ${schema}.thread_words USING gin (words);
CREATE TABLE ${schema}.interrupted_runs (
  thread_id text COLLATE "C" PRIMARY KEY,
  -- The epoch of the run that a crash ended, and whose input its reruns have.
  run_epoch int8 NOT NULL,
  -- The run is offered while the thread is free in this epoch.
  offered_in int8 NOT NULL,
  -- The epoch of the rerun that executes, or has ended. Null while the run is offered.
  rerun_epoch int8,
  -- How many times the run was taken.
  attempt int8 NOT NULL,
  -- Milliseconds since the epoch when the run first took its thread.
  started_at int8 NOT NULL,
  -- The instance that has taken the run in order to run it again.
  taken_by text
);
`;
