import { existsSync, rmSync } from "node:fs";
import type { Database } from "better-sqlite3";
import { createExclusively } from "../database/database-file.ts";
import { type Driver, loadDriver } from "../database/driver.ts";
import { toFault } from "../database/fault.ts";

/** How long `isLocked` waits when another process tests the same lock at the same moment. */
const BUSY_TIMEOUT_MS = 5;

/** The path of an instance's lock file, beside the database. `file` is the real path of the database. */
export function lockPathOf(file: string, instanceId: string): string {
  return `${file}-lock-${instanceId.slice(0, 8)}`;
}

/**
 * A lock that the kernel releases when the process dies. It works across containers: a process id means
 * nothing in another pid namespace, but a lock on a shared file does.
 *
 * The lock file is a database of its own, so that SQLite does the locking. Every thread of the instance
 * holds a shared lock on it. So the instance does not look dead when a single thread dies.
 */
export class InstanceLock {
  readonly #path: string;
  readonly #db: Database | null;

  /** The writer creates the lock file. A reader takes the lock only if the file is there. */
  constructor(path: string, { make }: { readonly make: boolean }) {
    this.#path = path;
    if (make && !existsSync(path)) createExclusively(path);
    this.#db = existsSync(path) ? hold(loadDriver(), path) : null;
  }

  /** Releases the lock and removes the lock file, when the instance is closed. */
  remove(): void {
    this.#db?.close();
    removeLock(this.#path);
  }
}

function hold(Database: Driver, path: string): Database {
  const db = new Database(path, { fileMustExist: true, timeout: 1000 });
  // The lock is held by a read transaction that never ends.
  db.exec("BEGIN");
  db.prepare("SELECT count(*) FROM sqlite_master").get();
  return db;
}

/** Removes the lock file of an instance that is closed or dead. */
export function removeLock(path: string): void {
  rmSync(path, { force: true });
}

/**
 * Whether any process holds the lock. Null when that is unknown: there is no such file, or it cannot be
 * opened.
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
