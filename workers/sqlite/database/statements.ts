import type { Database } from "better-sqlite3";

/** Transactions of the writer's connection, and whether another connection has written. */
export function prepareTransactionStatements(db: Database) {
  return {
    begin: db.prepare("BEGIN IMMEDIATE"),
    commit: db.prepare("COMMIT"),
    rollback: db.prepare("ROLLBACK"),
    savepoint: db.prepare("SAVEPOINT operation"),
    releaseSavepoint: db.prepare("RELEASE operation"),
    rollbackToSavepoint: db.prepare("ROLLBACK TO operation"),
    dataVersion: db.prepare<[], number>("PRAGMA data_version").pluck(),
  };
}

export type TransactionStatements = ReturnType<typeof prepareTransactionStatements>;
