import { existsSync, rmSync } from "node:fs";
import type { Database } from "better-sqlite3";
import { createExclusively } from "../database/database-file.ts";
import { toFault } from "../database/fault.ts";
import { type Driver, loadDriver } from "../database/open.ts";

/** How long to wait for another process that asks about the same instance at the same moment. */
const BUSY_TIMEOUT_MS = 5;

/** The lock file of an instance lies beside the database, whose real path is `file`. */
export function lockPathOf(file: string, instanceId: string): string {
  return `${file}-lock-${instanceId.slice(0, 8)}`;
}

/**
 * A lock that the kernel gives back when the process dies, whatever container it ran in: a process id
 * says nothing in another pid namespace, a lock on a file does.
 *
 * The file is a database of its own, so that SQLite does the locking. All threads of the instance hold
 * a shared lock on it: one of them that dies alone does not make the instance look dead.
 */
export class InstanceLock {
  readonly #path: string;
  readonly #db: Database | null;

  /** The writer makes the file; a reader holds it only if it is there. */
  constructor(path: string, { make }: { readonly make: boolean }) {
    this.#path = path;
    if (make && !existsSync(path)) createExclusively(path);
    this.#db = existsSync(path) ? hold(loadDriver(), path) : null;
  }

  /** Gives the lock back, and removes the file: the instance is closed. */
  remove(): void {
    this.#db?.close();
    removeLock(this.#path);
  }
}

function hold(Database: Driver, path: string): Database {
  const db = new Database(path, { fileMustExist: true, timeout: 1000 });
  // A read transaction that is never ended.
  db.exec("BEGIN");
  db.prepare("SELECT count(*) FROM sqlite_master").get();
  return db;
}

/** Removes the lock file of an instance that is closed or dead. */
export function removeLock(path: string): void {
  rmSync(path, { force: true });
}

/**
 * Whether any process holds the lock. Null when that cannot be told: there is no such file, or it is
 * not to be opened.
 */
export function isLocked(path: string): boolean | null {
  if (!existsSync(path)) return null;
  const Database = loadDriver();
  try {
    const db = new Database(path, { fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
    try {
      db.exec("BEGIN EXCLUSIVE");
      return false;
    } finally {
      db.close();
    }
  } catch (error) {
    return toFault(error).code === "BUSY" ? true : null;
  }
}
