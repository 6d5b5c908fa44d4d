import { withDatabase } from "./database-file.ts";

/** Adds a trigger as another program may, before a kind of write and for the rows in which `when` holds. */
function addTrigger(dbPath: string, write: string, when: string, action: string): void {
  withDatabase(dbPath, (db) => {
    db.exec(`CREATE TRIGGER foreign_rule BEFORE ${write} WHEN ${when}
      BEGIN SELECT RAISE(${action}); END`);
  });
}

/** Has SQLite ignore a kind of write, without an error. */
export function ignoreWrites(dbPath: string, write: string, when = "true"): void {
  addTrigger(dbPath, write, when, "IGNORE");
}

/** Has SQLite fail a kind of write, as damage to one table would. */
export function failWrites(dbPath: string, write: string): void {
  addTrigger(dbPath, write, "true", "ABORT, 'broken'");
}

export function removeTrigger(dbPath: string): void {
  withDatabase(dbPath, (db) => db.exec("DROP TRIGGER foreign_rule"));
}
