import { close, fdatasync, fstatSync, open } from "node:fs";
import { promisify } from "node:util";
import { messageOf, RunStoreError } from "../../protocol/errors.ts";
import type { OpenedFiles } from "../../protocol/messages.ts";
import type { Durability } from "../queued/backend.ts";
import { Backoff } from "../queued/backoff.ts";

const openFile = promisify(open);
const closeFile = promisify(close);
const syncFile = promisify(fdatasync);

const SYNCED = Promise.resolve();

/**
 * Milliseconds. When a sync takes longer, the writer leaves the next one to the main thread: the writer commits
 * nothing during its own.
 */
const QUICK_MS = 2;

type WalFile = Pick<OpenedFiles, "wal" | "walPath">;

export interface WalSyncOptions {
  /** Asks the writer which WAL it has open. The writer checks that the file still has its name. */
  readonly wal: () => Promise<WalFile>;
  /** Has the writer write the content of the WAL again. The next sync then puts all of it on the disk. */
  readonly rewrite: () => Promise<unknown>;
  readonly onTrouble: (error: RunStoreError, message: string) => void;
}

/** A pending call of `sync`. */
interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: RunStoreError) => void;
  onStalled: ((error: RunStoreError) => void) | null;
}

/**
 * Syncs the WAL, so that commits survive power loss.
 *
 * The writer commits with `synchronous = NORMAL`, which syncs only at checkpoints. It then goes on with
 * the next batch. Meanwhile this class syncs the WAL in a thread of libuv's pool. One sync is under way
 * at a time. It serves every commit made before it began. When nothing follows a batch, the writer syncs it
 * itself: `noteCommit` says so, and then there is nothing to do here.
 *
 * A failed sync may leave a hole in the WAL on the disk: the kernel may drop the pages that it could not
 * write and mark them as clean. A later sync succeeds without them. So after a failure the content of
 * the WAL is written again before the next sync counts.
 *
 * A WAL that was just opened is written again too. A sync of another process may have failed before, and
 * a descriptor reports only the failures since it was opened.
 */
export class WalSync implements Durability {
  readonly #options: WalSyncOptions;
  #fd: Promise<number> | null = null;
  #waiters: Waiter[] = [];
  #syncing: Waiter[] = [];
  #running: Promise<void> | null = null;
  /** True when the disk may lack parts of the WAL that no later sync will write. */
  #mayHaveHole = true;
  /** Whether there are commits that are not synced, and that no sync under way serves. */
  #isDirty = true;
  /** How long the last sync took. */
  #lastMs = 0;
  readonly #ended = new AbortController();
  readonly #backoff = new Backoff(this.#ended.signal);
  lastError: RunStoreError | null = null;

  constructor(options: WalSyncOptions) {
    this.#options = options;
  }

  /**
   * Opens the WAL and writes it again, before a checkpoint moves the content of the WAL into the database.
   *
   * From then on the descriptor reports every failed sync of the WAL, also those of SQLite. SQLite itself
   * does not report a sync that fails in a checkpoint.
   */
  async prepare(files: WalFile): Promise<void> {
    const { signal } = this.#ended;
    // The writer may have died since and removed its WAL: then ask its successor for the new WAL.
    if (!signal.aborted) await this.#descriptor(async () => files).catch(() => this.#descriptor());
    // The writer must get no request after its close request.
    if (!signal.aborted) await this.#whole();
  }

  /** Whether the writer is to sync its next commit, if nothing follows that. */
  get leavesSyncToWriter(): boolean {
    return this.#maySyncElsewhere && this.#lastMs <= QUICK_MS;
  }

  /** Has the WAL written again before the next sync counts. */
  distrust(): void {
    this.#mayHaveHole = true;
    this.#isDirty = true;
  }

  /** Notes the answer to a batch, which took `ms` milliseconds. `synced`: see `BatchMessage`. */
  noteCommit(synced: boolean | null, ms: number): void {
    if (synced !== null) this.#lastMs = ms;
    if (synced === false) {
      this.distrust();
      this.#fail(new RunStoreError("IO_ERROR", "the writer could not sync the WAL"));
    }
    // A sync that is under way here may find that the WAL has a hole: then the writer's sync does not count.
    this.#isDirty = synced !== true || !this.#maySyncElsewhere;
  }

  /**
   * Resolves when every commit made before this call is synced. A failure is retried. `onStalled` is
   * called once when retries keep failing. Rejects after `end`, and when the file is lost.
   */
  sync(onStalled: (error: RunStoreError) => void): Promise<void> {
    if (this.#ended.signal.aborted) {
      return Promise.reject(new RunStoreError("RUNNER_CLOSED", "the runner is closed"));
    }
    if (!this.#isDirty && this.#running === null) return SYNCED;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiters.push({ resolve, reject, onStalled });
    this.#running ??= this.#run();
    return promise;
  }

  /** Resolves when no `sync` is pending. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  /** Rejects every pending `sync` with `error`, and closes the descriptor. */
  async end(error: RunStoreError): Promise<void> {
    this.#ended.abort();
    this.#rejectAll(error);
    await this.idle();
    await this.#close();
  }

  get #maySyncElsewhere(): boolean {
    return this.#running === null && !this.#mayHaveHole;
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
      this.#isDirty = false;
      const startedAt = performance.now();
      try {
        await syncFile(fd);
        this.#lastMs = performance.now() - startedAt;
      } catch (error) {
        this.distrust();
        throw error;
      }
      // `fstatSync` does not block: the inode of an open file is in memory.
      if (fstatSync(fd).nlink > 0) break;
      // The WAL was removed. A dying writer may have been the last connection: then SQLite has moved the
      // WAL into the database file and synced it. The writer's successor has a new WAL.
      this.#isDirty = true;
      await this.#close();
    }
  }

  /** A descriptor of a WAL without holes: its next sync puts the whole WAL on the disk, or fails. */
  async #whole(): Promise<number> {
    // Open first: a descriptor reports only the failures since it was opened.
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
    // "r+", since Windows syncs only a file that is open for writing.
    const fd = await openFile(walPath, "r+").catch((error: unknown) => {
      throw toDiskError(error);
    });
    const { dev, ino } = fstatSync(fd, { bigint: true });
    if (dev === wal.dev && ino === wal.ino) return fd;
    await closeFile(fd);
    const message = `${walPath} is not the WAL that the writer has open: the file was replaced`;
    throw new RunStoreError("IO_ERROR", message);
  }

  #fail(cause: unknown): void {
    if (this.#ended.signal.aborted) return;
    const error = cause instanceof RunStoreError ? cause : toDiskError(cause);
    this.lastError = error;
    if (error.code === "FILE_REPLACED") {
      this.#rejectAll(error);
      return;
    }
    this.#options.onTrouble(error, "syncing the WAL to the disk failed and is tried again");
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
    // A failure to open the WAL was already reported to the caller that needed the descriptor.
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
