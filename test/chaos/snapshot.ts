import { existsSync } from "node:fs";
import Database from "better-sqlite3";
import type { EventLike } from "../../src/events/event.ts";
import { keyOf } from "../../src/protocol/run-key.ts";
import { ValueReader } from "../../workers/sqlite/values/read-values.ts";
import { prepareReadValueStatements } from "../../workers/sqlite/values/statements.ts";
import { RUN_COUNTS } from "../support/version-1.ts";

/** The content of a file that a round is judged by. */
export interface StoreSnapshot {
  readonly integrity: string;
  readonly runs: readonly StoredRun[];
  readonly journal: readonly JournalSegment[];
  readonly running: readonly RunOfThread[];
  /** Ended runs whose journals are retained for followers. */
  readonly kept: readonly RunOfThread[];
  readonly threads: readonly { readonly threadId: string; readonly runCount: number }[];
}

/** A run in the file. */
export interface RunOfThread {
  readonly threadId: string;
  /** Null in rows of version 1. */
  readonly epoch: number | null;
}

export interface StoredRun extends RunOfThread {
  readonly id: number;
  /** The run's name. */
  readonly runId: string;
  /** JSON. */
  readonly events: string;
}

export interface JournalSegment extends RunOfThread {
  readonly seq: number;
  /** JSON. */
  readonly events: string;
}

const NO_FILE: StoreSnapshot = {
  integrity: "ok",
  runs: [],
  journal: [],
  running: [],
  kept: [],
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

/** The name in the run's events, or its id. */
export function nameIn(events: readonly EventLike[], id = ""): string {
  const started = events.find(({ type }) => type === "RUN_STARTED");
  return String(started?.runName ?? started?.runId ?? id);
}

export function keyOfRow({ threadId, epoch }: RunOfThread): string {
  return keyOf({ threadId, epoch: epoch ?? 0 });
}

/** The stored events of each run that may have a journal. */
export function rowsByKey({ runs }: StoreSnapshot): Map<string, StoredRun> {
  const rows = new Map<string, StoredRun>();
  for (const row of runs) {
    rows.set(keyOfRow(row), row);
    // A run that another instance ended is stored under the epoch after that of its claim.
    if (row.epoch === null || !row.events.includes('"RUN_INTERRUPTED"')) continue;
    rows.set(keyOfRow({ ...row, epoch: row.epoch - 1 }), row);
  }
  return rows;
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
      threads: ifThere("threads", RUN_COUNTS),
    };
  } finally {
    db.close();
  }
}
