import type { Database } from "better-sqlite3";
import type { BackupNotice, BackupRequest, BackupSize } from "../../../src/protocol/messages.ts";
import { type Driver, loadDriver } from "../database/driver.ts";
import { finishNewFile, makeNewFile, newFileError } from "./new-file.ts";

/** Bytes that are copied in one step. Between steps the thread answers other requests, or is ended. */
const BYTES_A_STEP = 1024 * 1024;

/** Milliseconds between two progress notices to the main thread. */
const PROGRESS_MS = 100;

/**
 * Copies the database page by page, and gives the copy its name when it is whole and synced.
 *
 * All steps are in one read transaction, and so copy the state of one moment. Without the transaction,
 * SQLite starts the copy again after each write of another connection, and never ends beside a busy
 * writer. A database in memory has one connection only: SQLite includes the writes of that connection.
 * https://www.sqlite.org/backup.html
 */
export async function backUp(
  db: Database,
  request: BackupRequest,
  notify: (notice: BackupNotice) => void,
): Promise<BackupSize> {
  const { path, partialPath } = request;
  try {
    makeNewFile(path, partialPath);
    const size = await copy(db, partialPath, (progress) =>
      notify({ kind: "backup", partialPath, ...progress }),
    );
    makeOneFile(loadDriver(), partialPath);
    finishNewFile(path, partialPath);
    return size;
  } catch (error) {
    throw newFileError(path, error);
  }
}

async function copy(
  db: Database,
  partialPath: string,
  notify: (size: BackupSize) => void,
): Promise<BackupSize> {
  const pageSize = Number(db.pragma("page_size", { simple: true }));
  let reportedAt = performance.now();
  const progress = (pages: { totalPages: number; remainingPages: number }): number => {
    if (performance.now() - reportedAt > PROGRESS_MS) {
      reportedAt = performance.now();
      const totalBytes = pages.totalPages * pageSize;
      notify({ bytes: totalBytes - pages.remainingPages * pageSize, totalBytes });
    }
    return BYTES_A_STEP / pageSize;
  };
  const isShared = !db.memory;
  if (isShared) {
    db.exec("BEGIN");
    // The first read begins the transaction: it decides which moment is copied.
    db.prepare("SELECT count(*) FROM sqlite_master").get();
  }
  try {
    const { totalPages } = await db.backup(partialPath, { progress });
    return { bytes: totalPages * pageSize, totalBytes: totalPages * pageSize };
  } finally {
    if (isShared && db.open) db.exec("ROLLBACK");
  }
}

/**
 * Makes the copy a database of its own. The copy leaves WAL mode, so that it can be read where no WAL
 * can be created. The rows of the instances are deleted: those instances execute their runs on the
 * original. An instance that opens the copy must end the copied runs, not wait for their owners.
 */
function makeOneFile(Database: Driver, partialPath: string): void {
  const copied = new Database(partialPath, { fileMustExist: true });
  try {
    copied.pragma("journal_mode = DELETE");
    copied.exec("DELETE FROM runner_instances");
  } finally {
    copied.close();
  }
}
