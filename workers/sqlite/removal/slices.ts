import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import { RunStoreError, type RunStoreErrorCode } from "../../../src/protocol/errors.ts";
import { pauseAfter } from "../../../src/runs/pause-after.ts";
import { toFault } from "../database/fault.ts";
import { inTransaction } from "../database/transaction.ts";
import { forgetUncommitted, type WriterContext } from "../runs/writer-context.ts";
import type { Checkpoints } from "./checkpoints.ts";

/**
 * Milliseconds of work in one transaction. A batch that arrives meanwhile waits for so long at most, unless
 * a single row takes longer.
 */
const SLICE_MS = 3;

/** The same for work that nobody waits for. Still shorter slices write the same pages more often. */
const GENTLE_SLICE_MS = 0.8;

/** Milliseconds that a slice has at least, even if a batch waits: the work has to end some time. */
const MIN_SLICE_MS = 0.3;

/** The pauses of work that nobody waits for, as a multiple of the work before them. */
const GENTLE_PAUSE = 4;

/** How long other processes may hold the lock before long work gives up, in milliseconds. */
const MAX_BUSY_MS = 30_000;

/** Milliseconds between two tries to get the lock. */
const BUSY_RETRY_MS = 20;

/**
 * Keeps slices of different work from following each other at once: a batch that has arrived is served before
 * the next slice.
 */
class SliceTurns {
  #last: Promise<void> = Promise.resolve();

  /** Resolves when the writer has served what has arrived, and no other slice since. */
  next(): Promise<void> {
    this.#last = this.#last.then(() => nextTurn());
    return this.#last;
  }
}

export interface SliceOptions {
  readonly context: WriterContext;
  readonly hooks: SliceHooks;
  readonly checkpoints: Checkpoints;
}

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
  readonly #options: SliceOptions;
  readonly #context: WriterContext;
  readonly #hooks: SliceHooks;
  #lookedAt = performance.now();

  /** The length of a pause, as a multiple of the work before it. */
  readonly #pause: number;

  /** Milliseconds of a slice. */
  readonly #sliceMs: number;

  readonly #turns: SliceTurns;

  constructor(
    options: SliceOptions,
    { pause = 1, sliceMs = SLICE_MS, turns = new SliceTurns() } = {},
  ) {
    this.#options = options;
    this.#context = options.context;
    this.#hooks = options.hooks;
    this.#pause = pause;
    this.#sliceMs = sliceMs;
    this.#turns = turns;
  }

  /** Shorter slices with longer pauses, for work that nobody waits for. */
  get gentle(): Slices {
    const [pause, sliceMs, turns] = [GENTLE_PAUSE, GENTLE_SLICE_MS, this.#turns];
    return new Slices(this.#options, { pause, sliceMs, turns });
  }

  /** Whether so many milliseconds are over from now on, or a batch waits and `minMs` are over. */
  limit(ms: number, minMs = MIN_SLICE_MS): IsOver {
    const startedAt = performance.now();
    const { batches } = this.#context.config;
    return () => {
      const spentMs = performance.now() - startedAt;
      const isAwaited = batches !== undefined && Atomics.load(batches, 0) > 0;
      return spentMs >= (isAwaited ? minMs : ms);
    };
  }

  /** One transaction. Rejects with the error of `work`, or with `BUSY`. */
  async one<T>(work: (isOver: IsOver) => T): Promise<T> {
    const askedAt = performance.now();
    for (;;) {
      await this.#turns.next();
      this.#hooks.before();
      const startedAt = performance.now();
      const isOver = this.limit(this.#sliceMs);
      try {
        return inTransaction(this.#context, () => work(isOver));
      } catch (error) {
        if (!isRefusal(error)) forgetUncommitted(this.#context);
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
      // Batches and other processes get half of the time at least.
      await delay(pauseAfter(performance.now() - startedAt, this.#pause));
      await this.#options.checkpoints.ifDue(this.#hooks.before);
      if (isDone) return;
    }
  }

  /** Writes the touches that wait, so that lists and purges find each thread in its place. */
  async writeTouches(): Promise<void> {
    const { touches } = this.#context;
    if (touches.isEmpty) return;
    await this.until((isOver) => {
      touches.writeUntil(isOver);
      return touches.isEmpty;
    });
  }

  /** Moves what is in the WAL into the database, as far as readers let it. */
  async moveWal(): Promise<void> {
    await this.#options.checkpoints.now(this.#hooks.before);
  }

  /** Reads something small, now or after a pause. */
  async look<T>(read: () => T): Promise<T> {
    const spent = performance.now() - this.#lookedAt;
    if (spent >= this.#sliceMs) {
      await delay(this.#pause * Math.min(spent, this.#sliceMs));
      this.#lookedAt = performance.now();
    }
    return this.lookNow(read);
  }

  /** Reads something small. The caller makes the pauses. */
  lookNow<T>(read: () => T): T {
    this.#hooks.before();
    return read();
  }
}

/** Refusals are made before anything is changed: what the writer remembers is right after their rollback. */
const REFUSALS: ReadonlySet<RunStoreErrorCode> = new Set([
  "THREAD_NOT_FOUND",
  "THREAD_ALREADY_RUNNING",
  "THREAD_EXISTS",
  "RUN_NOT_FOUND",
]);

function isRefusal(error: unknown): boolean {
  return error instanceof RunStoreError && REFUSALS.has(error.code);
}
