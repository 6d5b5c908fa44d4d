import type { Database } from "better-sqlite3";
import { prepareOwnerStatements } from "../instances/statements.ts";
import { prepareStoredRunStatements } from "../runs/statements.ts";
import type { RunKeyRow } from "../state/statements.ts";
import { prepareThreadStatements } from "../threads/statements.ts";
import { prepareReadValueStatements, type StoredEventsRow } from "../values/statements.ts";
import { prepareReadViewStatements } from "../views/statements.ts";

/** A segment of one of several runs. */
export interface FollowedSegmentRow extends RunKeyRow {
  readonly id: number;
  readonly events: string;
}

export interface StoredRunRow {
  readonly id: number;
  /** The id that the client gave the run. */
  readonly run_id: string;
  /** JSON of the events. Null when they are longer than the statement's limit, or have shared values. */
  readonly events: string | null;
}

/** The statements that serve `connect` and `isRunning`, on a reader's connection or the writer's. */
export function prepareReaderStatements(db: Database) {
  return {
    ...prepareOwnerStatements(db),
    ...prepareStoredRunStatements(db),
    ...prepareReadValueStatements(db),
    ...prepareReadViewStatements(db),
    ...prepareThreadStatements(db),
    lastRowOfThread: db
      .prepare<[string], number | null>("SELECT max(id) FROM agent_runs WHERE thread_id = ?")
      .pluck(),
    runsOfThread: db.prepare<[number, string, number, number], StoredRunRow>(
      `SELECT id, coalesce(client_run_id, run_id) AS run_id,
         iif(shared_events IS NULL AND octet_length(events) <= ?, events, NULL) AS events
       FROM agent_runs
       WHERE thread_id = ? AND id > ? AND id <= ? ORDER BY id`,
    ),
    eventsOfRun: db.prepare<[number], StoredEventsRow>(
      "SELECT events, shared_events FROM agent_runs WHERE id = ?",
    ),
    // Runs as a JSON array of pairs. The input of a run stands at seq -1, before all events.
    segmentsOfRuns: db.prepare<[number, string], FollowedSegmentRow>(
      `SELECT id, thread_id, epoch, events FROM run_events
       WHERE id > ? AND seq >= 0
         AND (thread_id, epoch) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
       ORDER BY id`,
    ),
    lastSegment: db.prepare<[], number | null>("SELECT max(id) FROM run_events").pluck(),
  };
}

export type ReaderStatements = ReturnType<typeof prepareReaderStatements>;
