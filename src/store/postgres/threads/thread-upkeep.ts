import { toRunStoreError } from "../../../protocol/errors.ts";
import type { Logger } from "../../../protocol/logger.ts";
import { ThreadIndexer, type ThreadIndexerOptions } from "./thread-indexer.ts";
import type { Touch } from "./thread-touches.ts";

/** Milliseconds from a run that was stored to the step that makes it found. */
const GATHER_MS = 50;

/** While runs are stored, so many times the duration of a step is left to them after it. */
const PAUSE_FACTOR = 9;

/** Milliseconds of such a pause at most: a step may only have waited for a busy machine. */
const MAX_PAUSE_MS = 500;

/** Touches that are written together: their threads are locked meanwhile. */
const WRITTEN_TOGETHER = 500;

/** Milliseconds after a step that failed. */
const RETRY_MS = 1000;

export interface ThreadUpkeepOptions extends ThreadIndexerOptions {
  readonly logger: Logger;
  /** Writes to the list of threads what was put off. */
  readonly write: (touches: ReadonlyMap<string, Touch>) => Promise<void>;
}

/** Does behind the transactions what these leave undone for lists and searches. */
export class ThreadUpkeep {
  readonly #options: ThreadUpkeepOptions;
  readonly #indexer: ThreadIndexer;
  #timer: NodeJS.Timeout | null = null;
  #working: Promise<void> = Promise.resolve();
  /** Touches that are being written. */
  readonly #writing = new Set<Promise<void>>();
  /** Whether runs were stored since the last step began. */
  #isBusy = false;
  #ended = false;

  constructor(options: ThreadUpkeepOptions) {
    this.#options = options;
    this.#indexer = new ThreadIndexer(options);
  }

  /** Runs of these threads were stored, or removed. */
  note(threadIds: readonly string[]): void {
    if (threadIds.length === 0 && this.#options.touches.isEmpty) return;
    this.#isBusy = true;
    this.#indexer.note(threadIds);
    this.#schedule(GATHER_MS);
  }

  /** A host is gone that may have left something undone. */
  sweep(): void {
    this.#indexer.sweep();
    this.#schedule(GATHER_MS);
  }

  /** Writes the touches that wait, so that a list has each thread in its place. */
  async writeTouches(): Promise<void> {
    const { touches } = this.#options;
    for (let left = touches.size; left > 0; left -= WRITTEN_TOGETHER) {
      await this.#write(touches.take(WRITTEN_TOGETHER));
    }
    // Others may be written for another list.
    await Promise.allSettled(this.#writing);
  }

  /** Ends the work, as far as the time goes. Resolves with whether anything is left for another host. */
  async end(timeoutMs: number): Promise<boolean> {
    this.#ended = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const { touches } = this.#options;
    const deadline = performance.now() + timeoutMs;
    try {
      await this.#working;
      await this.#write(touches.takeAll());
      while (!this.#indexer.isIdle && performance.now() < deadline) await this.#indexer.step();
    } catch {
      // The server is away: whoever comes next finds what is left.
      return true;
    }
    return !this.#indexer.isIdle;
  }

  async #write(waiting: ReadonlyMap<string, Touch>): Promise<void> {
    const { touches, write } = this.#options;
    const written = write(waiting);
    this.#writing.add(written);
    try {
      await written;
    } catch (error) {
      for (const [threadId, touch] of waiting) touches.note(threadId, touch);
      this.#schedule(RETRY_MS);
      throw error;
    } finally {
      this.#writing.delete(written);
    }
  }

  #schedule(waitMs: number): void {
    if (this.#ended || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#working = this.#work();
    }, waitMs);
    this.#timer.unref();
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    const { touches, logger } = this.#options;
    const startedAt = performance.now();
    this.#isBusy = false;
    let waitMs = RETRY_MS;
    try {
      await this.#indexer.step();
      if (this.#isBusy) {
        const due = touches.due();
        if (due.size > 0) await this.#write(due);
      } else await this.writeTouches();
      const pauseMs = PAUSE_FACTOR * (performance.now() - startedAt);
      waitMs = this.#isBusy ? Math.min(MAX_PAUSE_MS, Math.max(GATHER_MS, pauseMs)) : 0;
    } catch (cause) {
      const err = toRunStoreError(cause);
      if (!this.#ended) logger.debug({ err }, "the list of threads could not be kept up");
    }
    this.#timer = null;
    // What is put off is written at a rate, and not at once.
    if (!this.#indexer.isIdle) this.#schedule(waitMs);
    else if (!touches.isEmpty) this.#schedule(Math.max(GATHER_MS, waitMs));
  }
}
