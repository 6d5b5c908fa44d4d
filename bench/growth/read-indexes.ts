import Database from "better-sqlite3";

/** Reads each index of the file, and each table that is one, from its beginning to its end. */
export function readIndexes(path: string): void {
  const db = new Database(path, { fileMustExist: true, readonly: true });
  try {
    const indexes = db
      .prepare<[], { name: string; table: string }>(
        "SELECT name, tbl_name AS \"table\" FROM sqlite_master WHERE type = 'index' AND (sql IS NULL OR sql NOT LIKE '% WHERE %')",
      )
      .all();
    for (const { name, table } of indexes) {
      db.prepare(`SELECT count(*) FROM ${table} INDEXED BY ${name}`).get();
    }
    for (const table of ["threads", "thread_messages", "run_state", "thread_facts"]) {
      db.prepare(`SELECT count(*) FROM ${table} NOT INDEXED`).get();
    }
  } finally {
    db.close();
  }
}
