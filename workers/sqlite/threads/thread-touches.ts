import type { TouchStatements } from "./statements.ts";

/** How many threads may be written with batches: per second for long, and at once after a pause. */
interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

const RATE: Rate = { perSecond: 250, burst: 100 };

/** For threads that were written a short time ago. With few runs, lists of other instances are exact, too. */
const RATE_OF_RECENT: Rate = { perSecond: 20, burst: 20 };

/** Threads that wait at most, and as many that were written are remembered. The indexer corrects the others. */
const MAX_REMEMBERED = 10_000;

/** Milliseconds. A thread that was written within this time, with the same agent, may wait. */
const RECENT_MS = 60_000;

interface Touch {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** The agent of the run. Null leaves the agent of the thread as it is. */
  readonly agentId: string | null;
}

/** A token bucket. */
class Budget {
  readonly #rate: Rate;
  #tokens: number;
  #filledAt = performance.now();

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#tokens = rate.burst;
  }

  /** Called before a few calls of `take`. */
  fill(): void {
    const now = performance.now();
    const { perSecond, burst } = this.#rate;
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#filledAt) * perSecond) / 1000);
    this.#filledAt = now;
  }

  take(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

/**
 * The threads on which a run began or ended, until that is written to `threads.updated_at`.
 *
 * Lists are in the order of that column, so that writing it changes pages of indexes. It is written with the
 * run, as long as there are not too many runs: 20 a second on threads that were written in the last minute, which is
 * nothing for the limits of purges, and some hundreds on others. Otherwise it is written before this instance reads
 * the next list, or when there is time. What is forgotten by a crash or a rollback, the indexer corrects.
 */
export class ThreadTouches {
  readonly #statements: TouchStatements;
  /** To be written with the next batches. In both, the thread that has waited longest comes first. */
  readonly #soon = new Map<string, Touch>();
  readonly #later = new Map<string, Touch>();
  /** What was written last, by thread. */
  readonly #written = new Map<string, Touch>();
  readonly #budget = new Budget(RATE);
  readonly #budgetOfRecent = new Budget(RATE_OF_RECENT);

  constructor(statements: TouchStatements) {
    this.#statements = statements;
  }

  get isEmpty(): boolean {
    return this.#soon.size === 0 && this.#later.size === 0;
  }

  note(threadId: string, at: number, agentId: string | null): void {
    const before = this.#soon.get(threadId) ?? this.#later.get(threadId);
    if (before === undefined && this.#soon.size + this.#later.size >= MAX_REMEMBERED) return;
    const touch = { at, agentId: agentId ?? before?.agentId ?? null };
    const isLater = !this.#soon.has(threadId) && this.#isWrittenLike(threadId, touch);
    if (!isLater) this.#later.delete(threadId);
    (isLater ? this.#later : this.#soon).set(threadId, touch);
  }

  /** Writes as many threads as may be written with a batch now. Called within a transaction. */
  write(): void {
    this.#writeSome(this.#soon, this.#budget);
    this.#writeSome(this.#later, this.#budgetOfRecent);
  }

  /** Writes more threads than with a batch. Called within a transaction. */
  writeMore(): void {
    this.#writeSome(this.#soon, this.#budget);
    this.#writeSome(this.#later, this.#budget);
  }

  /** Writes threads until the time is over. Called within a transaction. */
  writeUntil(isOver: () => boolean): void {
    for (const waiting of [this.#soon, this.#later]) {
      for (const [threadId, touch] of waiting) {
        this.#writeOne(threadId, touch);
        waiting.delete(threadId);
        if (isOver()) return;
      }
    }
  }

  /** Forgets everything: a rollback has undone what was written. */
  reset(): void {
    this.#soon.clear();
    this.#later.clear();
    this.#written.clear();
  }

  /** Whether the row of the thread differs only by a short time. */
  #isWrittenLike(threadId: string, { at, agentId }: Touch): boolean {
    const written = this.#written.get(threadId);
    if (written === undefined || at - written.at >= RECENT_MS) return false;
    return agentId === null || agentId === written.agentId;
  }

  #writeSome(waiting: Map<string, Touch>, budget: Budget): void {
    if (waiting.size === 0) return;
    budget.fill();
    for (const [threadId, touch] of waiting) {
      if (!budget.take()) return;
      this.#writeOne(threadId, touch);
      waiting.delete(threadId);
    }
  }

  #writeOne(threadId: string, touch: Touch): void {
    const { at, agentId } = touch;
    const before = this.#written.get(threadId)?.agentId ?? null;
    this.#statements.touchThread.run({ at, threadId });
    if (agentId !== null) this.#statements.setAgentOfLastRun.run({ threadId });
    this.#written.delete(threadId);
    this.#written.set(threadId, { at, agentId: agentId ?? before });
    const [oldest = threadId] = this.#written.keys();
    if (this.#written.size > MAX_REMEMBERED) this.#written.delete(oldest);
  }
}
