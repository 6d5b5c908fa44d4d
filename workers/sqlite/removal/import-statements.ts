import type { Database } from "better-sqlite3";

interface ImportedThreadRow {
  readonly threadId: string;
  readonly agentId: string | null;
  readonly title: string | null;
  /** JSON, or null for none. */
  readonly metadata: string | null;
  readonly resourceId: string | null;
  readonly archived: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** JSON of a `ForkOrigin`, or null. */
  readonly forkedFrom: string | null;
  readonly runs: number;
  /** The last row of the thread. */
  readonly last: number;
  /** 1 if the thread knows messages of runs that it does not have: the export has to tell them again. */
  readonly knowsMore: number;
}

interface ImportedStateRow {
  readonly threadId: string;
  readonly epoch: number;
  readonly updatedAt: number;
  readonly agentId: string | null;
}

export function prepareImportStatements(db: Database) {
  return {
    countRuns: db
      .prepare<[string], number>("SELECT count(*) FROM agent_runs WHERE thread_id = ?")
      .pluck(),
    insertImported: db.prepare<[ImportedThreadRow]>(
      `INSERT INTO threads (thread_id, agent_id, title, metadata, resource_id, archived, created_at,
         updated_at, run_count, indexed_up_to, forked_from, runs_removed)
       VALUES (@threadId, @agentId, @title, @metadata, @resourceId, @archived, @createdAt,
         @updatedAt, @runs, @last, @forkedFrom, @knowsMore)`,
    ),
    insertState: db.prepare<[ImportedStateRow]>(
      `INSERT INTO run_state (thread_id, is_running, updated_at, epoch, agent_id)
       VALUES (@threadId, 0, @updatedAt, @epoch, @agentId)`,
    ),
    // The indexer has passed over the runs of a thread that was unknown.
    markFactsStale: db.prepare<[string]>(
      `INSERT INTO thread_facts (thread_id, stale) VALUES (?, 1)
       ON CONFLICT (thread_id) DO UPDATE SET stale = 1`,
    ),
  };
}

export type ImportStatements = ReturnType<typeof prepareImportStatements>;
