import Database from "better-sqlite3";

/** How many runs the file says are running. */
export function countRunning(dbPath: string): number {
  const db = new Database(dbPath, { readonly: true });
  try {
    const running = db.prepare<[], number>("SELECT count(*) FROM run_state WHERE is_running = 1");
    return running.pluck().get() ?? 0;
  } finally {
    db.close();
  }
}
