import type { Database } from "better-sqlite3";
import type { TransactionStatements } from "./statements.ts";

export interface TransactionContext {
  readonly db: Database;
  readonly statements: TransactionStatements;
}

/** One transaction that may write. Throws the error of `work` after a rollback. */
export function inTransaction<T>({ db, statements }: TransactionContext, work: () => T): T {
  // A transaction that an error left open would fail every later transaction.
  if (db.inTransaction) statements.rollback.run();
  statements.begin.run();
  try {
    const result = work();
    statements.commit.run();
    return result;
  } catch (error) {
    // After some errors, such as a full disk, SQLite has rolled back already.
    if (db.inTransaction) statements.rollback.run();
    throw error;
  }
}
