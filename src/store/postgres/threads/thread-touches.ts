/** Threads that may be written at once after a pause. */
const BURST = 100;

/** Threads that may be written per second for long. */
const PER_SECOND = 250;

/** Threads that are remembered at most. The indexer corrects the others. */
const MAX_REMEMBERED = 10_000;

/** That a run of a thread began or ended. */
export interface Touch {
  /** Milliseconds since the epoch, of the first touch that is not written. */
  readonly from: number;
  /** Milliseconds since the epoch, of the last one. */
  readonly at: number;
  /** The agent of the run. Null leaves the agent of the thread as it is. */
  readonly agentId: string | null;
}

/**
 * The threads on which a run began or ended, until that is written to `thread_list`.
 *
 * Lists are in the order of `thread_list.updated_at`, so that writing it changes four indexes. It is written
 * with the run, as long as there are not too many runs. Under full load, only some threads are written with
 * each transaction, and the others before the next list is read, or when there is time. What is forgotten by a crash, the indexer corrects.
 */
export class ThreadTouches {
  /** The thread that has waited longest comes first. */
  readonly #waiting = new Map<string, Touch>();
  #tokens = BURST;
  #filledAt = performance.now();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Of the threads that a transaction touches, those that it is to write. The others are remembered. */
  admit(touched: ReadonlyMap<string, Touch>): Map<string, Touch> {
    const admitted = new Map<string, Touch>();
    for (const [threadId, touch] of touched) {
      const merged = this.#merged(threadId, touch);
      if (this.#spend()) {
        admitted.set(threadId, merged);
        this.#waiting.delete(threadId);
      } else {
        this.note(threadId, touch);
      }
    }
    return admitted;
  }

  note(threadId: string, touch: Touch): void {
    const isNew = !this.#waiting.has(threadId);
    if (isNew && this.#waiting.size >= MAX_REMEMBERED) return;
    this.#waiting.set(threadId, this.#merged(threadId, touch));
  }

  /** Takes the threads that may be written now. */
  due(): Map<string, Touch> {
    const due = new Map<string, Touch>();
    for (const [threadId, touch] of this.#waiting) {
      if (!this.#spend()) break;
      this.#waiting.delete(threadId);
      due.set(threadId, touch);
    }
    return due;
  }

  /** Takes so many threads at most. The thread that has waited longest comes first. */
  take(count: number): Map<string, Touch> {
    const taken = new Map([...this.#waiting].slice(0, count));
    for (const threadId of taken.keys()) this.#waiting.delete(threadId);
    return taken;
  }

  /** Takes all threads. */
  takeAll(): Map<string, Touch> {
    const all = new Map(this.#waiting);
    this.#waiting.clear();
    return all;
  }

  #merged(threadId: string, touch: Touch): Touch {
    const before = this.#waiting.get(threadId);
    if (before === undefined) return touch;
    const { from, at, agentId } = before;
    return {
      from: Math.min(from, touch.from),
      at: Math.max(at, touch.at),
      agentId: touch.agentId ?? agentId,
    };
  }

  #spend(): boolean {
    const now = performance.now();
    const filled = this.#tokens + ((now - this.#filledAt) * PER_SECOND) / 1000;
    this.#tokens = Math.min(BURST, filled);
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
