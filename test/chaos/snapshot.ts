import type { EventLike } from "../../src/events/event.ts";
import { keyOf } from "../../src/protocol/run-key.ts";

/** The content of a store that a round is judged by. */
export interface StoreSnapshot {
  /** What is wrong with the store as a whole, or "ok". */
  readonly integrity: string;
  readonly runs: readonly StoredRun[];
  readonly journal: readonly JournalSegment[];
  readonly running: readonly RunOfThread[];
  /** Ended runs whose journals are retained for followers. */
  readonly kept: readonly RunOfThread[];
  /** Whether journals outlive the process that retains them, until another process deletes them. */
  readonly keepsJournals: boolean;
  readonly threads: readonly { readonly threadId: string; readonly runCount: number }[];
}

/** A run in the store. */
export interface RunOfThread {
  readonly threadId: string;
  /** Null in rows of version 1. */
  readonly epoch: number | null;
}

export interface StoredRun extends RunOfThread {
  /** Of the row. */
  readonly id: number | string;
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
