import { closeSync, fdatasyncSync, openSync } from "node:fs";
import type { Database } from "better-sqlite3";
import { rewriteWal } from "./rewrite-wal.ts";

/**
 * Syncs the WAL in the writer's thread, after a batch that nothing follows. That is faster than the sync of the
 * main thread: no other thread has to be woken.
 *
 * A descriptor reports only the failed syncs since it was opened, and the content of the WAL may have a hole from
 * before: see `WalSync`. So this class syncs nothing before the WAL was written again behind its open descriptor,
 * and nothing more after a failure, until the WAL is written again.
 */
export class WriterSync {
  readonly #walPath: string;
  #fd: number | null = null;
  #isWhole = false;

  constructor(walPath: string) {
    this.#walPath = walPath;
  }

  /** See `rewriteWal`. */
  rewrite(db: Database): void {
    this.#isWhole = false;
    this.#fd ??= openSync(this.#walPath, "r+");
    rewriteWal(db, this.#walPath);
    this.#isWhole = true;
  }

  /** True if the whole WAL is on the disk now, false if the sync failed, null if none was tried. */
  sync(): boolean | null {
    if (this.#fd === null || !this.#isWhole) return null;
    try {
      fdatasyncSync(this.#fd);
      return true;
    } catch {
      // The main thread reports it. Its next sync tells the code of the disk.
      this.#isWhole = false;
      return false;
    }
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }
}
