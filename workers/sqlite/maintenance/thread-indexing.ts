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

/** Milliseconds of work in one transaction: a batch that arrives meanwhile waits for so long. */
const PIECE_MS = 1;

/** After a piece that has written words, so many transactions merge words at most before the next such piece. */
const MERGES = 4;

/** The share of its time from which on the writer counts as busy with batches. */
const BUSY = 0.3;

/** A pause is so many times as long as the work before it. */
const PAUSES = { idle: 1, batches: 4, busy: 100 };

export interface ThreadIndexingOptions {
  readonly context: WriterContext;
  readonly slices: Slices;
  /** Called with an error after which the work is tried again later. */
  readonly onError: (error: unknown) => void;
}

/**
 * Indexes threads between the batches: see `ThreadIndexer`. It also writes the touches that wait. While
 * batches keep the writer busy, it gets little of the writer's time, and the index is behind. Afterwards it
 * catches up.
 */
export class ThreadIndexing {
  readonly #options: ThreadIndexingOptions;
  readonly #indexer: ThreadIndexer;
  #timer: NodeJS.Timeout | null = null;
  #isBusy = false;
  #isEnded = false;
  /** Whether something was written while a piece of the work was done. */
  #isWanted = false;
  /** Milliseconds of batches since the last piece of work. */
  #batchMs = 0;
  #pieceAt = performance.now();
  /** How often words were merged since some were written. Null when there are none to merge. */
  #merges: number | null = null;

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

  /** `ms` is how long its transaction took. */
  afterBatch(ms: number): void {
    this.#batchMs += ms;
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
    const isIndexed = touches.isEmpty && (await slices.look(() => this.#indexer.isDone()));
    if (isIndexed && this.#merges === null) return null;
    const load = this.#load();
    let spentMs = 0;
    await slices.one(() => {
      const startedAt = performance.now();
      const isOver = slices.limit(PIECE_MS);
      if (this.#merges !== null && (isIndexed || this.#merges < MERGES)) {
        this.#merges = this.#indexer.merge() ? this.#merges + 1 : null;
      } else {
        if (load === "idle") touches.writeUntil(isOver);
        else touches.write();
        this.#indexer.goOn(isOver);
        this.#merges = 0;
      }
      spentMs = performance.now() - startedAt;
    });
    return spentMs * PAUSES[load];
  }

  /** How much the batches have kept the writer busy since the last piece of work. */
  #load(): keyof typeof PAUSES {
    const now = performance.now();
    const share = this.#batchMs / (now - this.#pieceAt);
    this.#batchMs = 0;
    this.#pieceAt = now;
    if (share === 0) return "idle";
    return share < BUSY ? "batches" : "busy";
  }
}
