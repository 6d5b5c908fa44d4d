import type { Database } from "better-sqlite3";

/** Changes what is known of a thread besides its runs. */
export function prepareUpdateThreadStatements(db: Database) {
  return {
    setTitle: db.prepare<[string | null, string, number]>(
      "UPDATE threads SET title = ? WHERE thread_id = ? AND (title IS NULL OR NOT ?)",
    ),
    setArchived: db.prepare<[number, string]>(
      "UPDATE threads SET archived = ? WHERE thread_id = ?",
    ),
    setMetadata: db.prepare<[string, string]>(
      "UPDATE threads SET metadata = ? WHERE thread_id = ?",
    ),
  };
}

export type UpdateThreadStatements = ReturnType<typeof prepareUpdateThreadStatements>;
