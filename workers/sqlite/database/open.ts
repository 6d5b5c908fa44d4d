import { existsSync, realpathSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import type BetterSqlite3 from "better-sqlite3";
import { messageOf } from "../../../src/protocol/errors.ts";
import type { WorkerConfig } from "../../../src/protocol/messages.ts";
import { prepareFile } from "./database-file.ts";
import { Fault, toFault } from "./fault.ts";
import { expectNode, OpenFiles } from "./open-files.ts";
import { inspectSchema, migrate } from "./schema.ts";

/** How long a statement waits for another process's lock before it fails with BUSY. */
const BUSY_TIMEOUT_MS = 5000;
const BUSY_RETRY_MS = 5;

export type Driver = typeof BetterSqlite3;

// By this name: tools that collect the files of a server follow a `require` and no other call.
const require = createRequire(import.meta.url);

/**
 * The driver is loaded here and not by an import, so that a native module that does not load is
 * an answer to the first request. As an import it would end the thread before it can answer.
 */
export function loadDriver(): Driver {
  try {
    return require("better-sqlite3") as Driver;
  } catch (error) {
    throw new Fault(
      "NATIVE_MODULE_FAILED",
      `better-sqlite3 could not be loaded on ${process.platform} ${process.arch}, Node ${process.versions.node}: ${messageOf(error)}`,
    );
  }
}

export interface OpenedDatabase {
  readonly db: BetterSqlite3.Database;
  /** The schema version the file had, 0 for a new one. */
  readonly migratedFrom: number;
  /** Null for a database in memory. */
  readonly guard: BetterSqlite3.Database | null;
  /** Null for a database in memory. */
  readonly files: OpenFiles | null;
}

/** A file is made for the first writer only: one that replaces a dead writer finds the same file, or none. */
function pathToOpen({ dbPath, file }: WorkerConfig): string {
  if (dbPath === ":memory:") return dbPath;
  if (file === null) return prepareFile(dbPath);
  expectNode(dbPath, file);
  return realpathSync(dbPath);
}

/**
 * Whether the WAL holds something, and can be read without writing. A power cut while the file was
 * made may leave the rollback journal of that beside the WAL: it has to be rolled back first.
 */
function hasReadableWal(path: string): boolean {
  const wal = statSync(`${path}-wal`, { throwIfNoEntry: false });
  return wal !== undefined && wal.size > 0 && !existsSync(`${path}-journal`);
}

/**
 * A connection that could write moves the WAL it finds into the file when it closes, even a file
 * that is refused. One that cannot write leaves it be.
 */
function inspectWithoutWriting(Database: Driver, path: string): void {
  const db = new Database(path, { readonly: true, timeout: BUSY_TIMEOUT_MS });
  try {
    inspectSchema(db);
  } finally {
    db.close();
  }
}

const sleepCell = new Int32Array(new SharedArrayBuffer(4));

/**
 * Waits for the lock by itself: for a change of the journal mode, SQLite does not, and of two
 * processes that make the file at the same time one would fail.
 */
function enterWal(db: BetterSqlite3.Database): void {
  const deadline = performance.now() + BUSY_TIMEOUT_MS;
  for (;;) {
    try {
      db.pragma("journal_mode = WAL");
      return;
    } catch (error) {
      if (toFault(error).code !== "BUSY" || performance.now() > deadline) throw error;
      Atomics.wait(sleepCell, 0, 0, BUSY_RETRY_MS);
    }
  }
}

/**
 * The one read-write connection of this process. Nothing is written before the file is known
 * to be empty or ours.
 */
export function openForWriting(config: WorkerConfig): OpenedDatabase {
  const Database = loadDriver();
  const path = pathToOpen(config);
  if (hasReadableWal(path)) inspectWithoutWriting(Database, path);
  const db = new Database(path, {
    timeout: BUSY_TIMEOUT_MS,
    fileMustExist: config.dbPath !== ":memory:",
  });
  let guard: BetterSqlite3.Database | null = null;
  try {
    inspectSchema(db);
    enterWal(db);
    // A commit is not synced here: the main thread has that done when it completes a run, while the
    // next batch is written. Checkpoints are. https://www.sqlite.org/pragma.html#pragma_synchronous
    db.pragma("synchronous = NORMAL");
    // The same few index pages change again and again: a checkpoint that comes seldom writes each
    // of them once. 8000 pages are 32 MiB of WAL.
    db.pragma("wal_autocheckpoint = 8000");
    // A WAL that one long reader let grow is cut back to this at the next checkpoint.
    db.pragma("journal_size_limit = 67108864");
    // KiB, as it is negative: the upper pages of the indexes of a large file are to be found in memory.
    // More does harm: each commit after a page was split looks through all pages in the cache.
    db.pragma("cache_size = -16384");
    const migratedFrom = migrate(db);
    if (config.dbPath === ":memory:") return { db, migratedFrom, guard: null, files: null };
    guard = openGuard(Database, config.dbPath);
    const files = new OpenFiles(config.dbPath, fileOf(db));
    return { db, migratedFrom, guard, files };
  } catch (error) {
    abandon({ db, guard });
    throw error;
  }
}

/**
 * A connection that cannot write, and that has read: as long as it is open, no other connection of
 * this process is the file's last one.
 */
function openGuard(Database: Driver, path: string): BetterSqlite3.Database {
  const guard = new Database(path, { readonly: true, timeout: BUSY_TIMEOUT_MS });
  guard.pragma("schema_version");
  return guard;
}

/**
 * Lets go of a file whose WAL may have lost its name, and leaves alone what has that name now. The last
 * connection that can write moves its WAL into the database when it closes, over newer pages of other
 * processes, and deletes the file that has the WAL's name by then. The guard is the last connection
 * here, and cannot write.
 */
export function abandon({ db, guard }: Pick<OpenedDatabase, "db" | "guard">): void {
  db.close();
  guard?.close();
}

/** Absolute path of the file, as SQLite has resolved it: its WAL lies beside that. */
export function fileOf(db: BetterSqlite3.Database): string {
  const [main] = db.pragma("database_list") as { file: string }[];
  return main?.file ?? "";
}

/** A connection that cannot write, for history pages. */
export function openForReading(config: WorkerConfig): BetterSqlite3.Database {
  const Database = loadDriver();
  if (config.file !== null) expectNode(config.dbPath, config.file);
  return new Database(config.dbPath, {
    readonly: true,
    fileMustExist: true,
    timeout: BUSY_TIMEOUT_MS,
  });
}
