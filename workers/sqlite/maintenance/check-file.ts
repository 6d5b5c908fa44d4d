import type { Database } from "better-sqlite3";
import type { DatabaseCheck } from "../../../src/protocol/file-messages.ts";
import { inspectSchema } from "../database/schema.ts";

/** Problems of one kind that are named one by one. */
const MAX_NAMED = 20;

interface Rule {
  /** Since which schema version. */
  readonly since: number;
  /** Gives a text a row for what is wrong. */
  readonly find: string;
  readonly repair?: { readonly sql: string; readonly what: string };
}

const RULES: readonly Rule[] = [
  {
    since: 1,
    find: `SELECT 'the events of run ' || run_id || ' on thread ' || thread_id || ' are no JSON'
      FROM agent_runs WHERE NOT json_valid(events)`,
  },
  {
    since: 1,
    find: `SELECT 'the input of run ' || run_id || ' on thread ' || thread_id || ' is no JSON'
      FROM agent_runs WHERE NOT json_valid(input)`,
  },
  {
    since: 2,
    find: `SELECT 'thread ' || thread_id || ' has runs, and no row of its own'
      FROM (SELECT DISTINCT thread_id FROM agent_runs)
      WHERE thread_id NOT IN (SELECT thread_id FROM threads)`,
    repair: {
      sql: `INSERT INTO threads (thread_id, created_at, messages_stale)
        SELECT thread_id, min(created_at), 1 FROM agent_runs
        WHERE thread_id NOT IN (SELECT thread_id FROM threads) GROUP BY thread_id`,
      what: "rows of threads were made",
    },
  },
  {
    since: 2,
    find: `SELECT 'the count of runs of thread ' || thread_id || ' is ' || run_count || ' instead of ' || stored
      FROM (SELECT t.thread_id, t.run_count, (SELECT count(*) FROM agent_runs AS r
        WHERE r.thread_id = t.thread_id AND r.id <= t.indexed_up_to) AS stored FROM threads AS t)
      WHERE run_count <> stored`,
    repair: {
      sql: `UPDATE threads SET run_count = (SELECT count(*) FROM agent_runs AS r
        WHERE r.thread_id = threads.thread_id AND r.id <= threads.indexed_up_to)
        WHERE run_count <> (SELECT count(*) FROM agent_runs AS r
        WHERE r.thread_id = threads.thread_id AND r.id <= threads.indexed_up_to)`,
      what: "counts of runs were set right",
    },
  },
  {
    since: 2,
    find: `SELECT 'thread ' || thread_id || ' is held by run ' || coalesce(current_run_id, '?')
      || ' of a process that is not known: the next runner that opens the file frees it'
      FROM run_state WHERE is_running = 1
      AND (owner_id IS NULL OR owner_id NOT IN (SELECT instance_id FROM runner_instances))`,
  },
];

/** Checks the pages and indexes of the file, and that its tables agree with each other. */
export function checkFile(db: Database, { repair }: { readonly repair: boolean }): DatabaseCheck {
  if (!repair) return { problems: problemsIn(db), repaired: [] };
  const repaired = db.transaction(() => repairIn(db)).immediate();
  return { problems: problemsIn(db), repaired };
}

function problemsIn(db: Database): string[] {
  // One moment of a file that others write to.
  return db.transaction(() => {
    const integrity = integrityOf(db);
    // What the tables say is not to be trusted then.
    return integrity.length > 0 ? integrity : brokenRules(db).flatMap(({ found }) => found);
  })();
}

function integrityOf(db: Database): string[] {
  const lines = db.prepare<[], string>(`PRAGMA integrity_check(${MAX_NAMED})`).pluck().all();
  return lines.filter((line) => line !== "ok").map((line) => `SQLite: ${line}`);
}

function brokenRules(db: Database): { readonly rule: Rule; readonly found: string[] }[] {
  const version = inspectSchema(db);
  return RULES.filter(({ since }) => since <= version)
    .map((rule) => {
      const found = db.prepare<[], string>(rule.find).pluck().all();
      const more = found.length - MAX_NAMED;
      const named = found.slice(0, MAX_NAMED);
      return { rule, found: more > 0 ? [...named, `and ${more} more of this kind`] : named };
    })
    .filter(({ found }) => found.length > 0);
}

function repairIn(db: Database): string[] {
  const repaired: string[] = [];
  if (integrityOf(db).length > 0) {
    db.exec("REINDEX");
    repaired.push("the indexes were made again");
  }
  for (const { rule } of brokenRules(db)) {
    if (rule.repair === undefined) continue;
    db.exec(rule.repair.sql);
    repaired.push(rule.repair.what);
  }
  return repaired;
}
