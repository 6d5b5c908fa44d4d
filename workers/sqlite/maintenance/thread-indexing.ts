import { pauseAfter } from "../../../src/runs/pause-after.ts";
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

/** Milliseconds of work in one piece, unless a batch arrives. */
const PIECE_MS = 2;

/** Milliseconds that a transaction has even if a batch waits. Fewer transactions write fewer pages. */
const WRITE_MS = 1;

/** After a transaction that has written words, so many merge words at most before the next one writes. */
const MERGES = 32;

/** The share of its time from which on the writer counts as busy with batches. */
const BUSY = 0.3;

/** A pause is so many times as long as the work before it. */
const PAUSES = { idle: 1, batches: 4, busy: 100 };

type Load = keyof typeof PAUSES;

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
  /** Whether the transaction that is committed next is one of this work. */
  #isWriting = false;
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
    this.#wake();
  }

  /** Called at once after any other transaction of this instance. It may have removed or made threads. */
  afterWrite(): void {
    if (!this.#isWriting) this.#indexer.forget();
    this.#isWriting = false;
    this.#wake();
  }

  #wake(): void {
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
      this.#isWriting = false;
      this.#indexer.forget();
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
    const load = this.#load();
    if (this.#merges !== null && this.#merges < MERGES) {
      return pauseAfter(await this.#merge(this.#merges), PAUSES[load]);
    }
    let spentMs = 0;
    const step = slices.lookNow(() => {
      const startedAt = performance.now();
      const next = this.#indexer.read(slices.limit(PIECE_MS));
      spentMs = performance.now() - startedAt;
      return next;
    });
    if (step === "write") spentMs += await this.#write(load);
    else if (step === null) {
      if (!context.touches.isEmpty) {
        const ms = await this.#transaction(() => this.#writeTouches(load));
        // Batches bring touches all the time.
        return load === "idle" ? pauseAfter(ms, PAUSES[load]) : DELAY_MS;
      }
      if (this.#merges === null) return null;
      spentMs += await this.#merge(this.#merges);
    }
    return pauseAfter(spentMs, PAUSES[load]);
  }

  async #write(load: Load): Promise<number> {
    const { slices } = this.#options;
    const ms = await this.#transaction(() => {
      this.#writeTouches(load);
      this.#indexer.write(slices.limit(PIECE_MS, WRITE_MS));
    });
    this.#indexer.committed();
    this.#merges = 0;
    return ms;
  }

  #writeTouches(load: Load): void {
    const { context, slices } = this.#options;
    if (load === "busy") context.touches.writeMore();
    else context.touches.writeUntil(slices.limit(WRITE_MS));
  }

  async #merge(before: number): Promise<number> {
    return await this.#transaction(() => {
      this.#merges = this.#indexer.merge() ? before + 1 : null;
    });
  }

  /** Resolves with how many milliseconds it took. */
  async #transaction(work: () => void): Promise<number> {
    let startedAt = 0;
    await this.#options.slices.one(() => {
      startedAt = performance.now();
      this.#isWriting = true;
      work();
    });
    return performance.now() - startedAt;
  }

  /** How much the batches have kept the writer busy since the last piece of work. */
  #load(): Load {
    const now = performance.now();
    const share = this.#batchMs / (now - this.#pieceAt);
    this.#batchMs = 0;
    this.#pieceAt = now;
    if (share === 0) return "idle";
    return share < BUSY ? "batches" : "busy";
  }
}
