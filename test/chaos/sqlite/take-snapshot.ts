import { existsSync } from "node:fs";
import Database from "better-sqlite3";
import type { EventLike } from "../../../src/events/event.ts";
import { ValueReader } from "../../../workers/sqlite/values/read-values.ts";
import { prepareReadValueStatements } from "../../../workers/sqlite/values/statements.ts";
import { RUN_COUNTS } from "../../support/version-1.ts";
import { nameIn, type StoreSnapshot } from "../snapshot.ts";

const NO_FILE: StoreSnapshot = {
  integrity: "ok",
  runs: [],
  journal: [],
  running: [],
  kept: [],
  keepsJournals: false,
  threads: [],
};

interface AgentRunRow {
  readonly id: number;
  readonly thread_id: string;
  readonly run_id: string;
  readonly events: string;
  /** Null, like the following fields, in a file of version 1. */
  readonly epoch?: number | null;
  readonly client_run_id?: string | null;
  readonly shared_events?: string | null;
}

/**
 * Reads the file like another program. It must not write: a fresh process has to find the file
 * unchanged.
 */
export function takeSnapshot(dbPath: string): StoreSnapshot {
  if (!existsSync(dbPath)) return NO_FILE;
  const db = new Database(dbPath, { readonly: true });
  try {
    const all = <Row>(sql: string) => db.prepare<[], Row>(sql).all();
    const integrity = all<{ integrity_check: string }>("PRAGMA integrity_check")
      .map((row) => row.integrity_check)
      .join("; ");
    const tables = new Set(
      all<{ name: string }>("SELECT name FROM sqlite_master").map(({ name }) => name),
    );
    // A process that died while it created or migrated the file left no tables, or those of version 1.
    const ifThere = <Row>(table: string, sql: string) => (tables.has(table) ? all<Row>(sql) : []);
    const values = tables.has("shared_values")
      ? new ValueReader(prepareReadValueStatements(db))
      : null;
    return {
      integrity,
      runs: ifThere<AgentRunRow>("agent_runs", "SELECT * FROM agent_runs ORDER BY id").map(
        ({ id, thread_id: threadId, run_id, client_run_id, epoch = null, ...row }) => {
          const { shared_events = null } = row;
          const events = values?.eventsOf({ ...row, shared_events }) ?? row.events;
          const runId = nameIn(JSON.parse(events) as EventLike[], client_run_id ?? run_id);
          return { id, threadId, epoch, runId, events };
        },
      ),
      journal: ifThere(
        "run_events",
        "SELECT thread_id AS threadId, epoch, seq, events FROM run_events ORDER BY 1, 2, 3",
      ),
      running: ifThere<{ thread_id: string; epoch?: number | null }>(
        "run_state",
        "SELECT * FROM run_state WHERE is_running = 1",
      ).map(({ thread_id: threadId, epoch = null }) => ({ threadId, epoch })),
      kept: ifThere(
        "retained_journals",
        "SELECT thread_id AS threadId, epoch FROM retained_journals",
      ),
      keepsJournals: false,
      threads: ifThere("threads", RUN_COUNTS),
    };
  } finally {
    db.close();
  }
}
