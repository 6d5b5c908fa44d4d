import { closeSync, existsSync, fsyncSync, linkSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf, RunStoreError } from "../../../src/protocol/errors.ts";
import { createExclusively, syncDirectory, systemCodeOf } from "../database/database-file.ts";
import { codeOf } from "../database/fault.ts";

/*
 * A database that is made beside a runner, under a partial name. It gets its own name when it is whole and
 * synced, and never replaces a file.
 */

/** @throws {RunStoreError} `BACKUP_EXISTS` */
export function makeNewFile(path: string, partialPath: string): void {
  // A WAL or journal that another database of that name has left would be read as part of the new one.
  const taken = [path, `${path}-wal`, `${path}-journal`].find((name) => existsSync(name));
  if (taken !== undefined) throw alreadyExists(taken);
  createExclusively(partialPath);
}

/** @throws {RunStoreError} `BACKUP_EXISTS`: the file was made meanwhile. */
export function finishNewFile(path: string, partialPath: string): void {
  syncFile(partialPath);
  giveName(partialPath, path);
  syncDirectory(dirname(path));
}

/** What the disk says of a new file, with its name. */
export function newFileError(path: string, error: unknown): unknown {
  const code = systemCodeOf(error);
  if (code === null) return error;
  return new RunStoreError(code, `cannot write ${path}: ${messageOf(error)}`);
}

function syncFile(path: string): void {
  const fd = openSync(path, "r+");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Gives the copy its name. Does not replace a file that was created meanwhile. */
function giveName(partialPath: string, path: string): void {
  try {
    linkSync(partialPath, path);
    rmSync(partialPath);
  } catch (error) {
    if (codeOf(error) === "EEXIST") throw alreadyExists(path);
    // A file system without hard links: creating an empty file reserves the name.
    createExclusively(path);
    renameSync(partialPath, path);
  }
}

function alreadyExists(path: string): RunStoreError {
  return new RunStoreError(
    "BACKUP_EXISTS",
    `${path} exists, and is never replaced: choose another name`,
  );
}
