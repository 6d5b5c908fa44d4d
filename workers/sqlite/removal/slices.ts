import { setTimeout as delay } from "node:timers/promises";
import { RunStoreError } from "../../../src/protocol/errors.ts";
import { toFault } from "../database/fault.ts";
import { forgetUncommitted, type WriterContext } from "../runs/writer-context.ts";

/**
 * Milliseconds of work in one transaction. A batch that arrives meanwhile waits for so long at most, unless
 * a single row takes longer.
 */
const SLICE_MS = 3;

/** The pauses of work that nobody waits for, as a multiple of the work before them. */
const GENTLE_PAUSE = 3;

/** How long other processes may hold the lock before long work gives up, in milliseconds. */
const MAX_BUSY_MS = 30_000;

/** Milliseconds between two tries to get the lock. */
const BUSY_RETRY_MS = 20;

/** Pages in the WAL with which long work moves them into the database. */
const CHECKPOINT_PAGES = 500;

export interface SliceHooks {
  /** Called before each slice. Throws when the file is closed or lost. */
  readonly before: () => void;
  /** Called after each slice, with the milliseconds that its transaction took. */
  readonly after: (ms: number) => void;
}

/** Whether the time of a slice is used up. */
export type IsOver = () => boolean;

/**
 * Does long work in the writer in short transactions. Between two of them, the writer commits the batches
 * that have arrived, and other processes get the lock.
 */
export class Slices {
  readonly #context: WriterContext;
  readonly #hooks: SliceHooks;
  #lookedAt = performance.now();

  /** The length of a pause, as a multiple of the work before it. */
  readonly #pause: number;

  constructor(context: WriterContext, hooks: SliceHooks, pause = 1) {
    this.#context = context;
    this.#hooks = hooks;
    this.#pause = pause;
  }

  /** Slices with longer pauses, for work that nobody waits for. */
  get gentle(): Slices {
    return new Slices(this.#context, this.#hooks, GENTLE_PAUSE);
  }

  /** One transaction. Rejects with the error of `work`, or with `BUSY`. */
  async one<T>(work: (isOver: IsOver) => T): Promise<T> {
    const askedAt = performance.now();
    for (;;) {
      this.#hooks.before();
      const startedAt = performance.now();
      const isOver = () => performance.now() - startedAt >= SLICE_MS;
      try {
        return this.#context.db.transaction(() => work(isOver)).immediate();
      } catch (error) {
        forgetUncommitted(this.#context);
        const isBusy = toFault(error).code === "BUSY" && !(error instanceof RunStoreError);
        if (!isBusy || performance.now() - askedAt > MAX_BUSY_MS) throw error;
      } finally {
        this.#hooks.after(performance.now() - startedAt);
      }
      await delay(BUSY_RETRY_MS);
    }
  }

  /** Repeats `work` until it returns true, in as many transactions as that takes. */
  async until(work: (isOver: IsOver) => boolean, afterSlice?: () => void): Promise<void> {
    for (;;) {
      const startedAt = performance.now();
      const isDone = await this.one(work);
      afterSlice?.();
      this.#checkpointIfDue();
      // Batches and other processes get half of the time at least.
      await delay(this.#pause * (performance.now() - startedAt));
      if (isDone) return;
    }
  }

  /** Reads something small, now or after a pause. */
  async look<T>(read: () => T): Promise<T> {
    const spent = performance.now() - this.#lookedAt;
    if (spent >= SLICE_MS) {
      await delay(this.#pause * Math.min(spent, SLICE_MS));
      this.#lookedAt = performance.now();
    }
    this.#hooks.before();
    return read();
  }

  /**
   * Moves the WAL into the database before many pages have gathered in it. Otherwise a later commit would do
   * it at once for thousands of pages, and hold up all runs meanwhile.
   */
  #checkpointIfDue(): void {
    const startedAt = performance.now();
    const [wal] = this.#context.db.pragma("wal_checkpoint(NOOP)") as WalState[];
    if (wal === undefined || wal.log - wal.checkpointed < CHECKPOINT_PAGES) return;
    this.#context.db.pragma("wal_checkpoint(PASSIVE)");
    this.#hooks.after(performance.now() - startedAt);
  }
}

/** Pages in the WAL, and how many of them are in the database. -1 for a database in memory. */
interface WalState {
  readonly log: number;
  readonly checkpointed: number;
}
