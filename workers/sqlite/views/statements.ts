import type { Database } from "better-sqlite3";
import type { KeptView } from "../../../src/runs/kept-views.ts";
import type { StoredEventsRow, StoredInputRow } from "../values/statements.ts";

export interface KeptViewRow {
  readonly up_to: number;
  readonly runs: number;
  readonly view: Uint8Array;
}

export interface RunOfViewRow extends StoredEventsRow {
  readonly run_id: string;
}

/** Reads what a view is made of, on a reader's connection or the writer's. */
export function prepareReadViewStatements(db: Database) {
  return {
    keptView: db.prepare<[string, number], KeptViewRow>(
      `SELECT up_to, runs, view FROM thread_views WHERE thread_id = ? AND up_to <= ?
       ORDER BY up_to DESC LIMIT 1`,
    ),
    // See view-table.ts.
    changedRuns: db
      .prepare<[string], number>("SELECT changed_runs FROM threads WHERE thread_id = ?")
      .pluck(),
    lastRunOfView: db
      .prepare<[string], number | null>("SELECT max(id) FROM agent_runs WHERE thread_id = ?")
      .pluck(),
    // The row before the last runs of the thread, so many of them: no row if there are no more runs.
    rowBeforeLast: db
      .prepare<[string, number, number], number>(
        "SELECT id FROM agent_runs WHERE thread_id = ? AND id <= ? ORDER BY id DESC LIMIT 1 OFFSET ?",
      )
      .pluck(),
    runOfInput: db.prepare<[number, string], RunOfViewRow & StoredInputRow>(
      `SELECT coalesce(client_run_id, run_id) AS run_id, events, shared_events, input, shared_input
       FROM agent_runs WHERE id = ? AND thread_id = ?`,
    ),
    runsOfView: db.prepare<[string, number, number], RunOfViewRow>(
      `SELECT coalesce(client_run_id, run_id) AS run_id, events, shared_events FROM agent_runs
       WHERE thread_id = ? AND id > ? AND id <= ? ORDER BY id`,
    ),
  };
}

export type ReadViewStatements = ReturnType<typeof prepareReadViewStatements>;

export function prepareKeepViewStatements(db: Database) {
  return {
    runsNow: db.prepare<[string, number, string], { runs: number; changedRuns: number }>(
      `SELECT (SELECT count(*) FROM agent_runs WHERE thread_id = ? AND id <= ?) AS runs,
         coalesce((SELECT changed_runs FROM threads WHERE thread_id = ?), 0) AS changedRuns`,
    ),
    keepView: db.prepare<[string, number, number, Uint8Array]>(
      `INSERT INTO thread_views (thread_id, up_to, runs, view) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET runs = excluded.runs, view = excluded.view
         WHERE view <> excluded.view`,
    ),
    keptViews: db.prepare<[string], KeptView>(
      "SELECT up_to AS upToId, runs FROM thread_views WHERE thread_id = ? ORDER BY up_to",
    ),
    dropView: db.prepare<[string, number]>(
      "DELETE FROM thread_views WHERE thread_id = ? AND up_to = ?",
    ),
  };
}
