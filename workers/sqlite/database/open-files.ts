import { statSync } from "node:fs";
import { messageOf } from "../../../src/protocol/errors.ts";
import type { FileNode } from "../../../src/protocol/messages.ts";
import { Fault } from "./fault.ts";

/** The file that a path names, links resolved, or null. Throws `IO_ERROR` when that cannot be seen. */
function statOf(path: string) {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false }) ?? null;
  } catch (error) {
    throw new Fault("IO_ERROR", `${path} cannot be looked at: ${messageOf(error)}`);
  }
}

/** Which file the path names at this moment, or null for none. It is looked at and not opened. */
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

function replaced(path: string): Fault {
  return new Fault(
    "FILE_REPLACED",
    `${path} was deleted, moved or replaced while it was open. Runs acknowledged so far are in the file that was there. Start again to use the file that is there now`,
  );
}

/**
 * The files that a connection works on: the database, its WAL, and the WAL's index (`-shm`), in which all
 * processes lock and find what the WAL holds. Without that one's name, the next process makes another
 * index: the two do not see each other's locks, and write over each other's part of the WAL.
 *
 * The connection goes on with the files it has open, whatever becomes of their names. A commit to a
 * file without its name is lost with the process, so the names are checked before a commit is
 * acknowledged. SQLite keeps one WAL file as long as a connection is open.
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
   * `dbPath` is the path that was opened, `file` the same with links resolved: the WAL lies beside
   * that. Throws `FILE_REPLACED` when either is gone already.
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

  /** Throws `FILE_REPLACED` unless the WAL's index has its name still: the least to know before a write. */
  checkIndex(): void {
    expectNode(this.#shmPath, this.#shm);
  }

  /** Throws `FILE_REPLACED` unless all names are still those of the open files. Returns the WAL's bytes. */
  check(): number {
    expectNode(this.#dbPath, this.db);
    this.checkIndex();
    const wal = statOf(this.walPath);
    if (wal === null || !isSame(wal, this.wal)) throw replaced(this.walPath);
    return Number(wal.size);
  }
}
