import type { Database } from "better-sqlite3";
import type { RunKeyRow } from "../state/statements.ts";

/** The journals that are retained for clients that follow runs from other processes. */
export function prepareRetainedJournalStatements(db: Database) {
  return {
    retainedJournals: db.prepare<[], RunKeyRow>("SELECT thread_id, epoch FROM retained_journals"),
    forgetRetainedJournal: db
      .prepare<[string, number], string>(
        "DELETE FROM retained_journals WHERE thread_id = ? AND epoch = ? RETURNING segment_ids",
      )
      .pluck(),
  };
}

export type RetainedJournalStatements = ReturnType<typeof prepareRetainedJournalStatements>;
