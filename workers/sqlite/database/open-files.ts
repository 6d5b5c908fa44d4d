import { statSync } from "node:fs";
import { messageOf, RunStoreError } from "../../../src/protocol/errors.ts";
import type { FileNode } from "../../../src/protocol/messages.ts";

/** The stat of the file that a path names, links followed, or null for no file. Throws `IO_ERROR`. */
function statOf(path: string) {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false }) ?? null;
  } catch (error) {
    throw new RunStoreError("IO_ERROR", `${path} cannot be inspected: ${messageOf(error)}`);
  }
}

/** Which file the path names now, or null for none. The file is not opened. */
export function nodeAt(path: string): FileNode | null {
  const stat = statOf(path);
  return stat === null ? null : { dev: stat.dev, ino: stat.ino };
}

function isSame(a: FileNode | null, b: FileNode | null): boolean {
  return a !== null && b !== null && a.ino === b.ino && a.dev === b.dev;
}

/** Throws `FILE_REPLACED` unless the path names `node`. */
export function expectNode(path: string, node: FileNode): void {
  if (!isSame(nodeAt(path), node)) throw replaced(path);
}

function replaced(path: string): RunStoreError {
  return new RunStoreError(
    "FILE_REPLACED",
    `${path} was deleted, moved or replaced while it was open. Runs acknowledged so far are in the file that was there. Start again to use the file that is there now`,
  );
}

/**
 * The files that a connection works on: the database, its WAL, and the WAL's index (`-shm`).
 *
 * All processes lock the index, and find in it what the WAL holds. When the index has lost its name, the
 * next process makes a new index. The processes then do not see each other's locks, and overwrite each
 * other's part of the WAL.
 *
 * A connection goes on with the files that it has open when they are deleted, moved or replaced. A commit
 * to such a file is lost with the process, so the names are checked before a commit is acknowledged.
 * SQLite uses the same WAL file as long as a connection is open.
 */
export class OpenFiles {
  readonly db: FileNode;
  readonly wal: FileNode;
  readonly walPath: string;
  readonly #shm: FileNode;
  readonly #shmPath: string;
  /** The database's path with links resolved. */
  readonly path: string;
  readonly #dbPath: string;

  /**
   * `dbPath` is the path that was opened, `file` the same path with links resolved. The WAL lies beside
   * `file`. Throws `FILE_REPLACED` when the database or the WAL is gone already.
   */
  constructor(dbPath: string, file: string) {
    this.#dbPath = dbPath;
    this.path = file;
    this.walPath = `${file}-wal`;
    this.#shmPath = `${file}-shm`;
    const db = nodeAt(dbPath);
    const wal = nodeAt(this.walPath);
    if (db === null) throw replaced(dbPath);
    const shm = nodeAt(this.#shmPath);
    if (wal === null) throw replaced(this.walPath);
    if (shm === null) throw replaced(this.#shmPath);
    this.#shm = shm;
    this.db = db;
    this.wal = wal;
  }

  /** Throws `FILE_REPLACED` unless the WAL's index has its name. Cheap enough to ask before each write. */
  checkIndex(): void {
    expectNode(this.#shmPath, this.#shm);
  }

  /** Returns the size of the WAL in bytes. Throws `FILE_REPLACED` unless all files have their names. */
  check(): number {
    expectNode(this.#dbPath, this.db);
    this.checkIndex();
    const wal = statOf(this.walPath);
    if (wal === null || !isSame(wal, this.wal)) throw replaced(this.walPath);
    return Number(wal.size);
  }
}
