import type { Slices } from "../removal/slices.ts";
import { forgetIfEmpty } from "../runs/recover.ts";
import type { WriterContext } from "../runs/writer-context.ts";
import { ThreadIndexer } from "../threads/thread-indexer.ts";
import { ValueReader } from "../values/read-values.ts";

/** Milliseconds from a batch to the indexing of its runs. */
const DELAY_MS = 400;

/** Milliseconds from a commit of another instance: that instance indexes its own runs, if it lives. */
const OTHERS_DELAY_MS = 3000;

/** Milliseconds after a failure. */
const RETRY_MS = 5000;

/** While batches come, a pause is so many times as long as the work before it. */
const PAUSES_PER_WORK = 40;

export interface ThreadIndexingOptions {
  readonly context: WriterContext;
  readonly slices: Slices;
  /** Called with an error after which the work is tried again later. */
  readonly onError: (error: unknown) => void;
}

/**
 * Indexes threads between the batches: see `ThreadIndexer`. It also writes the touches that wait. While
 * batches come, it takes little of the writer's time, and the index is behind; afterwards it catches up.
 */
export class ThreadIndexing {
  readonly #options: ThreadIndexingOptions;
  readonly #indexer: ThreadIndexer;
  #timer: NodeJS.Timeout | null = null;
  #isBusy = false;
  #isEnded = false;
  /** Whether something was written while a piece of the work was done. */
  #isWanted = false;
  #batches = 0;

  constructor(options: ThreadIndexingOptions) {
    this.#options = options;
    const { context } = options;
    const { db, statements } = context;
    this.#indexer = new ThreadIndexer(db, new ValueReader(statements), (threadId) => {
      if (statements.stateOfThread.get(threadId)?.is_running !== 1)
        forgetIfEmpty(context, threadId);
    });
    this.#arm(DELAY_MS);
  }

  afterBatch(): void {
    this.#batches++;
    this.afterWrite();
  }

  /** Called after other writes of this instance: threads may have been removed. */
  afterWrite(): void {
    this.#isWanted = true;
    this.#arm(DELAY_MS);
  }

  afterOthers(): void {
    this.#arm(OTHERS_DELAY_MS);
  }

  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#isEnded = true;
  }

  #arm(ms: number): void {
    if (this.#timer !== null || this.#isBusy || this.#isEnded) return;
    this.#timer = setTimeout(() => void this.#work(), ms);
  }

  async #work(): Promise<void> {
    this.#timer = null;
    this.#isBusy = true;
    this.#isWanted = false;
    let nextMs: number | null = null;
    try {
      nextMs = await this.#piece();
    } catch (error) {
      if (!this.#isEnded) this.#options.onError(error);
      nextMs = RETRY_MS;
    }
    this.#isBusy = false;
    if (nextMs === null && this.#isWanted) nextMs = DELAY_MS;
    if (nextMs !== null) this.#arm(nextMs);
  }

  /** Does a piece of the work. Returns how long to pause before the next piece, or null at the end. */
  async #piece(): Promise<number | null> {
    const { context, slices } = this.#options;
    const { touches } = context;
    if (touches.isEmpty && (await slices.look(() => this.#indexer.isDone()))) return null;
    const batchesBefore = this.#batches;
    const startedAt = performance.now();
    const isDone = await slices.one((isOver) => {
      touches.write();
      return this.#indexer.goOn(isOver);
    });
    if (isDone && touches.isEmpty) return null;
    const ms = performance.now() - startedAt;
    return this.#batches === batchesBefore ? ms : ms * PAUSES_PER_WORK;
  }
}
