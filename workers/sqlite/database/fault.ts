import {
  messageOf,
  RunStoreError,
  type RunStoreErrorCode,
  type StoreFault,
} from "../../../src/protocol/errors.ts";
import type { WriterNotice } from "../../../src/protocol/messages.ts";

// SQLite's primary result codes; extended codes begin with the primary one's name.
// https://www.sqlite.org/rescode.html
const SQLITE_CODES: readonly (readonly [prefix: string, code: RunStoreErrorCode])[] = [
  ["SQLITE_FULL", "DISK_FULL"],
  ["SQLITE_BUSY", "BUSY"],
  ["SQLITE_LOCKED", "BUSY"],
  // Another process was suspended while it changed the index of the WAL, and holds the lock for that.
  ["SQLITE_PROTOCOL", "BUSY"],
  ["SQLITE_CORRUPT", "CORRUPT"],
  ["SQLITE_NOTADB", "NOT_A_DATABASE"],
  ["SQLITE_READONLY", "READ_ONLY"],
  ["SQLITE_PERM", "READ_ONLY"],
  ["SQLITE_CANTOPEN", "CANNOT_OPEN"],
  // A shared-memory file that cannot grow is a full disk, not a broken one.
  ["SQLITE_IOERR_SHMSIZE", "DISK_FULL"],
  ["SQLITE_IOERR", "IO_ERROR"],
];

/** The code that Node and SQLite give their errors, or "". */
export function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : "";
  return typeof code === "string" ? code : "";
}

/** The fault that stands for an error on its way to another thread. */
export function toFault(error: unknown): StoreFault {
  const message = messageOf(error);
  if (error instanceof RunStoreError) return { code: error.code, message };
  const sqliteCode = codeOf(error);
  const known = SQLITE_CODES.find(([prefix]) => sqliteCode.startsWith(prefix));
  const detail = sqliteCode === "" ? message : `${message} (${sqliteCode})`;
  return { code: known?.[1] ?? "STORE_FAILED", message: detail };
}

/**
 * True when an error is one of the file or the disk, so that every operation of the batch would fail
 * with it; false when the error belongs to one operation.
 */
export function concernsWholeFile(error: unknown): boolean {
  return toFault(error).code !== "STORE_FAILED" && !(error instanceof RunStoreError);
}

/**
 * Does work that is done again later. An error of the whole file is ignored, such as a lock or a full
 * disk: the next batch reports it. The main thread gets any other error and logs it. A trigger that a
 * user added to the file may refuse a heartbeat, and that must not end the writer.
 */
export function unlessFileFails(work: () => void, notify: (notice: WriterNotice) => void): void {
  try {
    work();
  } catch (error) {
    if (!concernsWholeFile(error)) notify({ kind: "maintenance-failed", fault: toFault(error) });
  }
}

/**
 * Checks that a write has changed a row, before the write is acknowledged. A trigger that a user added
 * to the file can make SQLite ignore a write without an error.
 *
 * Throws `STORE_FAILED`, which fails this operation and no other operation of the batch.
 */
export function expectChange({ changes }: { readonly changes: number }, what: string): void {
  if (changes > 0) return;
  throw new RunStoreError(
    "STORE_FAILED",
    `${what} was not stored: the database ignored the write; look for triggers that were added to the file`,
  );
}
