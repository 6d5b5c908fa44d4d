import { closeSync, existsSync, fsyncSync, linkSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Database } from "better-sqlite3";
import { messageOf } from "../../../src/protocol/errors.ts";
import type { BackupNotice, BackupRequest, BackupSize } from "../../../src/protocol/messages.ts";
import { createExclusively, syncDirectory, systemCodeOf } from "../database/database-file.ts";
import { codeOf, Fault } from "../database/fault.ts";
import { type Driver, loadDriver } from "../database/open.ts";

/** Between two steps the thread answers others, or is ended: a step is not to take long. */
const PAGES_A_STEP = 256;
const PROGRESS_MS = 100;

/**
 * Copies the database page by page, and gives the copy its name when it is whole and on the disk.
 *
 * All steps are in one read transaction, and so copy one moment: without it, SQLite begins again
 * each time another connection has written, and beside a busy writer never ends. A database in
 * memory has one connection only, whose own changes SQLite takes over into the copy.
 * https://www.sqlite.org/backup.html
 */
export async function backUp(
  db: Database,
  request: BackupRequest,
  tell: (notice: BackupNotice) => void,
): Promise<BackupSize> {
  const { path, partialPath } = request;
  try {
    // SQLite would take what another database of that name has left for a part of the copy.
    const taken = [path, `${path}-wal`, `${path}-journal`].find((name) => existsSync(name));
    if (taken !== undefined) throw alreadyExists(taken);
    createExclusively(partialPath);
    const size = await copy(db, partialPath, (progress) =>
      tell({ kind: "backup", partialPath, ...progress }),
    );
    makeOneFile(loadDriver(), partialPath);
    syncFile(partialPath);
    giveName(partialPath, path);
    syncDirectory(dirname(path));
    return size;
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === null) throw error;
    throw new Fault(code, `cannot back up to ${path}: ${messageOf(error)}`);
  }
}

async function copy(
  db: Database,
  partialPath: string,
  tell: (size: BackupSize) => void,
): Promise<BackupSize> {
  const pageSize = Number(db.pragma("page_size", { simple: true }));
  let toldAt = performance.now();
  const progress = (pages: { totalPages: number; remainingPages: number }): number => {
    if (performance.now() - toldAt > PROGRESS_MS) {
      toldAt = performance.now();
      const totalBytes = pages.totalPages * pageSize;
      tell({ bytes: totalBytes - pages.remainingPages * pageSize, totalBytes });
    }
    return PAGES_A_STEP;
  };
  const isShared = !db.memory;
  if (isShared) {
    db.exec("BEGIN");
    // The transaction begins, and its moment is chosen, with the first read.
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
 * The copy says of itself that it has a WAL, as its original does: it could not be read where none can be
 * made. And it says who executes its runs: they do so on the original. Whoever opens the copy, on this
 * machine even while they live, is to end those runs, and not to wait for them.
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

function syncFile(path: string): void {
  const fd = openSync(path, "r+");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Never replaces a file that came to be there meanwhile. */
function giveName(partialPath: string, path: string): void {
  try {
    linkSync(partialPath, path);
    rmSync(partialPath);
  } catch (error) {
    if (codeOf(error) === "EEXIST") throw alreadyExists(path);
    // A file system without hard links: an empty file keeps the place.
    createExclusively(path);
    renameSync(partialPath, path);
  }
}

function alreadyExists(path: string): Fault {
  return new Fault(
    "BACKUP_EXISTS",
    `${path} exists, and a backup replaces no file: choose another name`,
  );
}
