import { close, fdatasync, fstatSync, open } from "node:fs";
import { promisify } from "node:util";
import { messageOf, RunStoreError } from "../../protocol/errors.ts";
import type { OpenedFiles } from "../../protocol/messages.ts";
import type { Durability } from "../queued/backend.ts";
import { Backoff } from "../queued/backoff.ts";

const openFile = promisify(open);
const closeFile = promisify(close);
const syncFile = promisify(fdatasync);

type WalFile = Pick<OpenedFiles, "wal" | "walPath">;

export interface WalSyncOptions {
  /** Asks the writer for the files that it has open, which it checks. */
  readonly wal: () => Promise<WalFile>;
  /** Has the writer write to the WAL what it holds, so that the next sync puts all of it on the disk. */
  readonly rewrite: () => Promise<unknown>;
  readonly onTrouble: (error: RunStoreError, message: string) => void;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: RunStoreError) => void;
  onStalled: ((error: RunStoreError) => void) | null;
}

/**
 * Makes what the writer has committed survive power loss: syncs the WAL.
 *
 * The writer commits with `synchronous = NORMAL`, which syncs nothing but checkpoints, and goes on
 * with the next batch. Meanwhile this has the kernel write what was committed, in a thread of
 * libuv's pool, and those who wait for it are told. One sync is under way at a time; it serves all
 * that was committed before it began.
 *
 * After a sync that failed, the kernel may have dropped the pages that it could not write, and call
 * them clean: a later sync succeeds, and the WAL on the disk has a hole. So the WAL is written again,
 * as it is, before anything else is called synced. The same goes for a WAL that was just opened: a
 * sync of another process may have failed, or of one that has died since, and a descriptor is not
 * told of failures before it was opened.
 */
export class WalSync implements Durability {
  readonly #options: WalSyncOptions;
  #fd: Promise<number> | null = null;
  #waiters: Waiter[] = [];
  #syncing: Waiter[] = [];
  #running: Promise<void> | null = null;
  /** The disk may lack parts of the WAL that no sync will write. */
  #mayHaveHole = true;
  readonly #ended = new AbortController();
  readonly #backoff = new Backoff(this.#ended.signal);
  lastError: RunStoreError | null = null;

  constructor(options: WalSyncOptions) {
    this.#options = options;
  }

  /**
   * Opens the WAL before the first sync, and writes it again: before a checkpoint moves what it holds
   * into the database. A descriptor is told of each sync of the WAL that fails after it was opened,
   * whoever asked for it: SQLite says nothing of its own that fail in a checkpoint.
   */
  async prepare(files: WalFile): Promise<void> {
    const { signal } = this.#ended;
    // A writer that has died since may have taken its WAL away: its successor tells of another one.
    if (!signal.aborted) await this.#descriptor(async () => files).catch(() => this.#descriptor());
    // A writer that was told to close must not be asked for anything more.
    if (!signal.aborted) await this.#whole();
  }

  /**
   * Resolves when all that was committed before is synced. `onStalled` is called, once, when that
   * keeps failing: it goes on being tried. Rejects when this is ended, or the file is lost.
   */
  sync(onStalled: (error: RunStoreError) => void): Promise<void> {
    if (this.#ended.signal.aborted) {
      return Promise.reject(new RunStoreError("RUNNER_CLOSED", "the runner is closed"));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiters.push({ resolve, reject, onStalled });
    this.#running ??= this.#run();
    return promise;
  }

  /** Resolves when nobody waits any more. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  /** Ends all waiting with `error`, and lets go of the file. */
  async end(error: RunStoreError): Promise<void> {
    this.#ended.abort();
    this.#rejectAll(error);
    await this.idle();
    await this.#close();
  }

  async #run(): Promise<void> {
    for (let attempt = 0; this.#waiters.length > 0; ) {
      this.#syncing = this.#waiters;
      this.#waiters = [];
      try {
        await this.#sync();
        this.#backoff.succeeded();
        attempt = 0;
        for (const { resolve } of this.#syncing.splice(0)) resolve();
      } catch (cause) {
        this.#waiters = [...this.#syncing.splice(0), ...this.#waiters];
        this.#fail(cause);
        await this.#backoff.wait(attempt++);
      }
    }
    this.#running = null;
  }

  async #sync(): Promise<void> {
    for (;;) {
      const fd = await this.#whole();
      try {
        await syncFile(fd);
      } catch (error) {
        this.#mayHaveHole = true;
        throw error;
      }
      // The inode of an open file is in memory: this does not wait for the disk.
      if (fstatSync(fd).nlink > 0) break;
      // The WAL has no name any more. A writer that died may have been the last to close the database:
      // then all of it is in the database file, synced, and its successor has another WAL.
      await this.#close();
    }
  }

  /** A descriptor of the WAL, all of which the next sync puts on the disk, or fails. */
  async #whole(): Promise<number> {
    // Opened first: it is told of what fails from then on.
    const fd = await this.#descriptor();
    if (this.#mayHaveHole) {
      await this.#options.rewrite();
      this.#mayHaveHole = false;
    }
    return fd;
  }

  #descriptor(wal = this.#options.wal): Promise<number> {
    this.#fd ??= this.#open(wal).catch((error: unknown) => {
      this.#fd = null;
      throw error;
    });
    return this.#fd;
  }

  async #open(ask: () => Promise<WalFile>): Promise<number> {
    const { wal, walPath } = await ask();
    this.#mayHaveHole = true;
    // Windows syncs only what may be written.
    const fd = await openFile(walPath, "r+").catch((error: unknown) => {
      throw toDiskError(error);
    });
    const { dev, ino } = fstatSync(fd, { bigint: true });
    if (dev === wal.dev && ino === wal.ino) return fd;
    await closeFile(fd);
    throw new RunStoreError("IO_ERROR", `${walPath} is not the WAL that the writer has open`);
  }

  #fail(cause: unknown): void {
    if (this.#ended.signal.aborted) return;
    const error = cause instanceof RunStoreError ? cause : toDiskError(cause);
    this.lastError = error;
    if (error.code === "FILE_REPLACED") {
      this.#rejectAll(error);
      return;
    }
    this.#options.onTrouble(error, "syncing the disk failed and is tried again");
    if (!this.#backoff.failed()) return;
    for (const waiter of this.#waiters) {
      waiter.onStalled?.(error);
      waiter.onStalled = null;
    }
  }

  #rejectAll(error: RunStoreError): void {
    for (const { reject } of [...this.#syncing.splice(0), ...this.#waiters.splice(0)])
      reject(error);
  }

  async #close(): Promise<void> {
    // One that could not be opened was reported to whoever asked for it.
    const fd = await this.#fd?.catch(() => null);
    this.#fd = null;
    if (fd != null) await closeFile(fd);
  }
}

function toDiskError(cause: unknown): RunStoreError {
  const code = cause instanceof Error && "code" in cause ? cause.code : "";
  const isFull = code === "ENOSPC" || code === "EDQUOT";
  return new RunStoreError(
    isFull ? "DISK_FULL" : "IO_ERROR",
    `the WAL could not be synced: ${messageOf(cause)}`,
    { cause },
  );
}
