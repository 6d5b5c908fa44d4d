import { toRunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import type { CheckpointerRequest, WorkerConfig } from "../../protocol/messages.ts";
import { WorkerPool } from "../worker-threads/worker-pool.ts";
import type { WalSync } from "./wal-sync.ts";

/** Milliseconds without a checkpoint after which the thread is ended. */
const IDLE_MS = 1000;

export interface CheckpointerOptions {
  readonly config: () => WorkerConfig;
  readonly durability: Pick<WalSync, "sync" | "noteCommit" | "distrust"> | null;
  readonly logger: Logger;
}

/**
 * Moves the WAL into the database in a thread of its own, for long work of the writer: SQLite writes and syncs
 * many pages then, and the writer's batches would wait. The thread lives as long as checkpoints are asked for.
 *
 * When a sync of the WAL fails, the disk may lack a part of the WAL. A page that is then moved into the
 * database may be newer than those that the WAL has on the disk. So the WAL is synced here before each
 * checkpoint, and SQLite syncs it in the checkpoint over a descriptor that was open before: the thread opens
 * the file before the first of these syncs, and opens it anew after a failure.
 */
export class Checkpointer {
  readonly #options: CheckpointerOptions;
  #thread: WorkerPool<CheckpointerRequest> | null = null;
  #running: Promise<boolean> | null = null;
  #idleTimer: NodeJS.Timeout | null = null;
  #ended = false;
  #ending: Promise<void> = Promise.resolve();

  constructor(options: CheckpointerOptions) {
    this.#options = options;
  }

  /** Resolves with whether a checkpoint was made. A call during another one shares its checkpoint. */
  checkpoint(): Promise<boolean> {
    this.#running ??= this.#checkpoint().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** Resolves when the thread has ended. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#endThread();
    await this.#ending;
  }

  async #checkpoint(): Promise<boolean> {
    if (this.#ended) return false;
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    const { durability, logger } = this.#options;
    try {
      const thread = await this.#open();
      // What long work has committed is not noted elsewhere.
      durability?.noteCommit(null, 0);
      await durability?.sync(() => undefined);
      await thread.request({ kind: "checkpoint" });
    } catch (cause) {
      const error = toRunStoreError(cause);
      if (!this.#ended) {
        logger.debug({ err: error, code: error.code }, "a checkpoint is left to the writer");
        durability?.distrust();
      }
      this.#endThread();
      return false;
    }
    if (!this.#ended) {
      this.#idleTimer = setTimeout(() => this.#endThread(), IDLE_MS);
      this.#idleTimer.unref();
    }
    return true;
  }

  async #open(): Promise<WorkerPool<CheckpointerRequest>> {
    if (this.#thread !== null) return this.#thread;
    const thread = new WorkerPool<CheckpointerRequest>({
      worker: "checkpointer",
      threads: 1,
      config: this.#options.config(),
      diedCode: "WRITER_DIED",
    });
    this.#thread = thread;
    await thread.request({ kind: "open" });
    return thread;
  }

  #endThread(): void {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
    const thread = this.#thread;
    if (thread === null) return;
    this.#thread = null;
    const before = this.#ending;
    this.#ending = end(thread).then(() => before);
  }
}

/** Has the thread close its connections in order, and ends it. */
async function end(thread: WorkerPool<CheckpointerRequest>): Promise<void> {
  await thread.request({ kind: "close" }).catch(() => undefined);
  await thread.destroy();
}
