import { existsSync, realpathSync, statSync } from "node:fs";
import type BetterSqlite3 from "better-sqlite3";
import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { WorkerConfig } from "../../../src/protocol/messages.ts";
import { kindOf, prepareFile } from "./database-file.ts";
import { type Driver, loadDriver } from "./driver.ts";
import { toFault } from "./fault.ts";
import { expectNode, OpenFiles } from "./open-files.ts";
import { inspectSchema, migrate } from "./schema.ts";

/** How long a statement waits for another process's lock before it fails with BUSY. */
const BUSY_TIMEOUT_MS = 5000;
/**
 * How long a statement of the writer waits for another process's lock, once the file is open. It is
 * short because the writer's thread cannot be ended while a statement waits.
 */
const WRITER_BUSY_TIMEOUT_MS = 1000;

/** Milliseconds between two tries to change to WAL while another process holds a lock. */
const BUSY_RETRY_MS = 5;

export interface OpenedDatabase {
  readonly db: BetterSqlite3.Database;
  /** The schema version the file had, 0 for a new one. */
  readonly migratedFrom: number;
  /** See `openGuard`. Null for a database in memory. */
  readonly guard: BetterSqlite3.Database | null;
  /** Null for a database in memory. */
  readonly files: OpenFiles | null;
}

/**
 * Only the first writer of a runner may create the file. A writer that replaces a dead writer must find
 * the same file, and fails with `FILE_REPLACED` if it does not.
 */
function pathToOpen({ dbPath, file }: WorkerConfig): string {
  if (dbPath === ":memory:") return dbPath;
  if (file === null) return prepareFile(dbPath);
  expectNode(dbPath, file);
  return realpathSync(dbPath);
}

/**
 * Whether there is a WAL that can be read without writing to the file. A power cut while the file was
 * being made can leave a rollback journal beside the WAL: then SQLite has to write before it can read.
 */
function hasReadableWal(path: string): boolean {
  const wal = statSync(`${path}-wal`, { throwIfNoEntry: false });
  return wal !== undefined && wal.size > 0 && !existsSync(`${path}-journal`);
}

/**
 * Inspects the file on a read-only connection. A read-write connection would move the WAL into the
 * file when it closes, even into a file that is then refused.
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
 * Switches to WAL, and waits for the lock in a loop. SQLite's busy timeout does not apply to a change of
 * the journal mode: without the loop, one of two processes that create the file together would fail.
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
 * Bytes of a page of a new file. Most rows of `agent_runs` take one to four kilobytes. On pages of 4 KiB, a third
 * of the file is empty space behind such rows, and each table of a short file has a page of its own.
 */
const PAGE_BYTES = 1024;

/** A negative number means KiB. The upper pages of the indexes of a large file fit into this cache. */
const CACHE_SIZE = "cache_size = -16384";

/** Bytes of the WAL from which on a commit moves its pages into the database. */
const MAX_WAL_BYTES = 32 * 1024 * 1024;

/**
 * Opens the read-write connection of this instance. Writes nothing before the file is known to be empty
 * or a file of an agent runner.
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
    // Only an empty file can get these.
    if (inspectSchema(db) === 0) {
      db.pragma(`page_size = ${PAGE_BYTES}`);
      // Free pages can then be given back step by step, after a purge.
      db.pragma("auto_vacuum = INCREMENTAL");
    }
    enterWal(db);
    // What is deleted is overwritten in the pages that are written anyway. https://www.sqlite.org/pragma.html#pragma_secure_delete
    db.pragma("secure_delete = FAST");
    // Commits are not synced here: the main thread syncs the WAL when a run completes, while the next
    // batch is written. Checkpoints are synced. https://www.sqlite.org/pragma.html#pragma_synchronous
    db.pragma("synchronous = NORMAL");
    // Most commits change the same few index pages. With rarer checkpoints, each of these pages is
    // written to the database less often.
    const pageBytes = Number(db.pragma("page_size", { simple: true }));
    db.pragma(`wal_autocheckpoint = ${MAX_WAL_BYTES / pageBytes}`);
    // Bytes. A WAL that grew beside a long reader is cut back to this size at a later checkpoint.
    db.pragma("journal_size_limit = 67108864");
    // A larger cache is slower: each commit after a page split looks through all cached pages.
    db.pragma(CACHE_SIZE);
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
 * Opens a read-only connection and reads from it once, so that it has the WAL open. While this guard is
 * open, the writer's connection is never the last connection of the file: see `abandon`.
 */
function openGuard(Database: Driver, path: string): BetterSqlite3.Database {
  const guard = new Database(path, { readonly: true, timeout: BUSY_TIMEOUT_MS });
  guard.pragma("schema_version");
  return guard;
}

/**
 * Closes a file whose WAL may have lost its name, without touching the files that have the names now.
 *
 * When a read-write connection is the last connection of the file, its close moves its WAL into the
 * database, over newer pages of other processes. It also deletes the file that has the WAL's name by
 * then. Here the guard closes last. It is read-only, so it does neither.
 */
export function abandon({ db, guard }: Pick<OpenedDatabase, "db" | "guard">): void {
  db.close();
  guard?.close();
}

/** Absolute path of the file, links resolved by SQLite. The WAL lies beside this path. */
export function fileOf(db: BetterSqlite3.Database): string {
  const [main] = db.pragma("database_list") as { file: string }[];
  return main?.file ?? "";
}

/**
 * Shortens the time for which the writer waits for a lock. Opening the file waits longer, because another
 * process may be migrating it. A batch that fails is sent again, and `close` must not wait long for it.
 */
export function shortenBusyTimeout(db: BetterSqlite3.Database): void {
  const timeoutMs = db.pragma("busy_timeout", { simple: true });
  if (timeoutMs === BUSY_TIMEOUT_MS) db.pragma(`busy_timeout = ${WRITER_BUSY_TIMEOUT_MS}`);
}

/** A connection that moves the WAL into the database, and its guard: see `abandon`. */
export interface OpenedForCheckpoints {
  readonly db: BetterSqlite3.Database;
  readonly guard: BetterSqlite3.Database;
  readonly files: OpenFiles;
}

/** Opens a second read-write connection, which writes nothing of its own. Refuses another file. */
export function openForCheckpoints(config: WorkerConfig): OpenedForCheckpoints {
  const Database = loadDriver();
  if (config.file !== null) expectNode(config.dbPath, config.file);
  const path = realpathSync(config.dbPath);
  const guard = openGuard(Database, path);
  let db: BetterSqlite3.Database | null = null;
  try {
    db = new Database(path, { fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
    db.pragma("synchronous = NORMAL");
    db.pragma("wal_autocheckpoint = 0");
    // So that the connection has the WAL open.
    db.pragma("schema_version");
    return { db, guard, files: new OpenFiles(config.dbPath, fileOf(db)) };
  } catch (error) {
    db?.close();
    guard.close();
    throw error;
  }
}

/**
 * Opens a file for work apart from any runner: a read-write connection, because a read-only one would leave
 * a WAL's index behind. Refuses a file that is not ours before it writes anything. Does not migrate.
 */
export function openForFileWork(dbPath: string): BetterSqlite3.Database {
  const Database = loadDriver();
  if (!existsSync(dbPath)) throw new RunStoreError("CANNOT_OPEN", `there is no file ${dbPath}`);
  let db: BetterSqlite3.Database | null = null;
  try {
    const path = realpathSync(dbPath);
    const file = statSync(path);
    if (!file.isFile()) {
      throw new RunStoreError("CANNOT_OPEN", `it is ${kindOf(file)}, and not a file`);
    }
    if (hasReadableWal(path)) inspectWithoutWriting(Database, path);
    db = new Database(path, { fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
    inspectSchema(db);
    return db;
  } catch (error) {
    db?.close();
    // Operators take the path from the environment or a default: the message says which file it was.
    const { code, message } = toFault(error);
    throw new RunStoreError(code, `cannot open ${dbPath}: ${message}`);
  }
}

/** Opens a read-only connection. Refuses a file other than the one that the runner opened first. */
export function openForReading(config: WorkerConfig): BetterSqlite3.Database {
  const Database = loadDriver();
  if (config.file !== null) expectNode(config.dbPath, config.file);
  const db = new Database(config.dbPath, {
    readonly: true,
    fileMustExist: true,
    timeout: BUSY_TIMEOUT_MS,
  });
  db.pragma(CACHE_SIZE);
  return db;
}
