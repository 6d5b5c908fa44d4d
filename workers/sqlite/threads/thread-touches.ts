import type { TouchStatements } from "./statements.ts";

/** Threads that may be written at once after a pause. */
const BURST = 100;

/** Threads that may be written per second for long. */
const PER_SECOND = 250;

/** Threads that are remembered at most. The indexer corrects the others. */
const MAX_REMEMBERED = 10_000;

interface Touch {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** The agent of the run. Null leaves the agent of the thread as it is. */
  readonly agentId: string | null;
}

/**
 * The threads on which a run began or ended, until that is written to `threads.updated_at`.
 *
 * Lists are in the order of that column, so that writing it changes pages of indexes. It is written with the
 * run, as long as there are not too many runs. Under full load, only some threads are written with each
 * batch, and the others before the next list is read, or when there is time. What is forgotten by a crash or a rollback, the indexer corrects.
 */
export class ThreadTouches {
  readonly #statements: TouchStatements;
  /** The thread that has waited longest comes first. */
  readonly #waiting = new Map<string, Touch>();
  #tokens = BURST;
  #filledAt = performance.now();

  constructor(statements: TouchStatements) {
    this.#statements = statements;
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  note(threadId: string, at: number, agentId: string | null): void {
    const before = this.#waiting.get(threadId);
    if (before === undefined && this.#waiting.size >= MAX_REMEMBERED) return;
    this.#waiting.set(threadId, { at, agentId: agentId ?? before?.agentId ?? null });
  }

  /** Writes as many threads as may be written now. Called within a transaction. */
  write(): void {
    if (this.#waiting.size === 0) return;
    const now = performance.now();
    const filled = this.#tokens + ((now - this.#filledAt) * PER_SECOND) / 1000;
    this.#tokens = Math.min(BURST, filled);
    this.#filledAt = now;
    for (const [threadId, touch] of this.#waiting) {
      if (this.#tokens < 1) return;
      this.#tokens--;
      this.#writeOne(threadId, touch);
    }
  }

  /** Writes threads until the time is over. Called within a transaction. */
  writeUntil(isOver: () => boolean): void {
    for (const [threadId, touch] of this.#waiting) {
      this.#writeOne(threadId, touch);
      if (isOver()) return;
    }
  }

  #writeOne(threadId: string, { at, agentId }: Touch): void {
    this.#statements.touchThread.run(at, threadId);
    if (agentId !== null) this.#statements.setAgent.run(agentId, threadId, agentId);
    this.#waiting.delete(threadId);
  }

  /** Forgets everything: a rollback has undone what was written. */
  reset(): void {
    this.#waiting.clear();
  }
}
