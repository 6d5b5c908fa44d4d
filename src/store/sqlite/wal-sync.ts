import { close, fdatasync, open } from "node:fs";
import { promisify } from "node:util";
import { messageOf, RunStoreError } from "../../protocol/errors.ts";
import { Backoff } from "./backoff.ts";

const openFile = promisify(open);
const closeFile = promisify(close);
const syncFile = promisify(fdatasync);

export interface WalSyncOptions {
  /** Asks the writer for the path of the database file that it has open. */
  readonly file: () => Promise<string>;
  /** Has the writer move everything from the WAL into the database file, and sync that. */
  readonly checkpoint: () => Promise<unknown>;
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
 * that was committed before it began. A WAL that was cut back or deleted since has been moved into
 * the database and synced there before.
 */
export class WalSync {
  readonly #options: WalSyncOptions;
  #fd: number | null = null;
  #isStale = false;
  #waiters: Waiter[] = [];
  #syncing: Waiter[] = [];
  #running: Promise<void> | null = null;
  /** A sync has failed: the kernel may have dropped what it could not write, and call it clean. */
  #hasFailed = false;
  readonly #ended = new AbortController();
  readonly #backoff = new Backoff(this.#ended.signal);
  lastError: RunStoreError | null = null;

  constructor(options: WalSyncOptions) {
    this.#options = options;
  }

  /** The writer has ended: as the last one to close the database, it may have deleted the WAL. */
  forgetFile(): void {
    this.#isStale = true;
  }

  /**
   * Resolves when all that was committed before is synced. `onStalled` is called, once, when that
   * keeps failing: it goes on being tried. Rejects when this is ended.
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
    for (const { reject } of [...this.#syncing.splice(0), ...this.#waiters.splice(0)])
      reject(error);
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
    if (this.#hasFailed) {
      await this.#options.checkpoint();
      this.#hasFailed = false;
      return;
    }
    if (this.#isStale) {
      this.#isStale = false;
      await this.#close();
    }
    try {
      // Windows syncs only what may be written.
      this.#fd ??= await openFile(`${await this.#options.file()}-wal`, "r+");
      await syncFile(this.#fd);
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
  }

  #fail(cause: unknown): void {
    if (this.#ended.signal.aborted) return;
    const error = cause instanceof RunStoreError ? cause : toDiskError(cause);
    this.lastError = error;
    this.#options.onTrouble(error, "syncing the disk failed and is tried again");
    if (!this.#backoff.failed()) return;
    for (const waiter of this.#waiters) {
      waiter.onStalled?.(error);
      waiter.onStalled = null;
    }
  }

  async #close(): Promise<void> {
    const fd = this.#fd;
    this.#fd = null;
    if (fd !== null) await closeFile(fd);
  }
}

function toDiskError(cause: unknown): RunStoreError {
  const code = cause instanceof Error && "code" in cause ? cause.code : "";
  const isFull = code === "ENOSPC" || code === "EDQUOT";
  return new RunStoreError(
    isFull ? "DISK_FULL" : "IO_ERROR",
    `the disk could not be synced: ${messageOf(cause)}`,
    { cause },
  );
}
