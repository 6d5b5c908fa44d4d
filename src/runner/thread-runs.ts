import type { Scope } from "../protocol/scope.ts";
import type { ActiveRun, RunListener } from "./active-run.ts";

interface Thread {
  readonly id: string;
  /** The run that has begun and has not settled. The next run of the thread waits for it. */
  current: ActiveRun | null;
  /** Runs that start after `current`, in order of arrival. Some may have ended while they waited. */
  readonly waiting: WaitingRuns;
  /** The started runs of the thread whose outcome is not in the store yet, oldest first. */
  readonly open: Set<ActiveRun>;
}

/**
 * The runs of this runner, by thread and resource. Runs of different resources on one thread do not wait
 * for each other: the store decides whose thread it is, and refuses the others.
 *
 * A thread is remembered only while it has a run that is not stored. Starting and ending a run searches no
 * list, because tens of thousands of runs may wait.
 */
export class ThreadRuns implements RunListener {
  readonly #threads = new Map<string, Thread>();
  /** How many runs execute, claim or wait. */
  #activeCount = 0;
  #idleWaiters: (() => void)[] = [];

  /** The run that a new run on the thread has to wait for, or null. */
  current(threadId: string, scope: Scope): ActiveRun | null {
    for (const { current } of this.#visible(threadId, scope)) if (current !== null) return current;
    return null;
  }

  /** The started runs of the thread that may not be in its history yet, oldest first. */
  open(threadId: string, scope: Scope): readonly ActiveRun[] {
    return this.#visible(threadId, scope).flatMap(({ open }) => [...open]);
  }

  /** The current run if it has this id, or else the first waiting run with this id. */
  find(threadId: string, runId: string, scope: Scope): ActiveRun | null {
    for (const { current, waiting } of this.#visible(threadId, scope)) {
      const found = current?.runId === runId ? current : waiting.find(runId);
      if (found !== null) return found;
    }
    return null;
  }

  /** Starts `run` now, or when the runs before it on its thread have settled. */
  add(run: ActiveRun): void {
    const key = keyOf(run.threadId, run.resourceId);
    let thread = this.#threads.get(key);
    if (thread === undefined) {
      const id = run.threadId;
      thread = { id, current: null, waiting: new WaitingRuns(), open: new Set() };
      this.#threads.set(key, thread);
    }
    this.#activeCount++;
    run.isAdded = true;
    if (thread.current === null) this.#begin(thread, run);
    else thread.waiting.add(run);
  }

  /** Runs that execute, claim or wait: `close` has to end them. */
  get active(): readonly ActiveRun[] {
    const runs: ActiveRun[] = [];
    for (const { current, waiting } of this.#threads.values()) {
      if (current !== null) runs.push(current);
      for (const run of waiting) runs.push(run);
    }
    return runs;
  }

  get activeCount(): number {
    return this.#activeCount;
  }

  /** Resolves when no run is active. */
  async idle(): Promise<void> {
    if (this.#activeCount === 0) return;
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  onSettled(run: ActiveRun): void {
    // A run that was refused at once was never one of them.
    if (!run.isAdded) return;
    this.#activeCount--;
    const thread = this.#threads.get(keyOf(run.threadId, run.resourceId));
    if (thread?.current === run) {
      thread.current = null;
      const next = thread.waiting.take();
      if (next !== null) this.#begin(thread, next);
    }
    if (this.#activeCount > 0) return;
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  onEnded(run: ActiveRun): void {
    const key = keyOf(run.threadId, run.resourceId);
    const thread = this.#threads.get(key);
    if (thread === undefined) return;
    thread.open.delete(run);
    if (thread.open.size === 0) this.#threads.delete(key);
  }

  #visible(threadId: string, scope: Scope): readonly Thread[] {
    if (scope === "every") return [...this.#threads.values()].filter(({ id }) => id === threadId);
    const thread = this.#threads.get(keyOf(threadId, scope.resourceId));
    return thread === undefined ? [] : [thread];
  }

  #begin(thread: Thread, run: ActiveRun): void {
    thread.current = run;
    thread.open.add(run);
    void run.start();
  }
}

/** Different for each pair: the length says where the resource ends. */
function keyOf(threadId: string, resourceId: string | null): string {
  return resourceId === null ? `:${threadId}` : `${resourceId.length}:${resourceId}${threadId}`;
}

/** A queue of runs. A run that ended while it waited is skipped when its turn comes. */
class WaitingRuns implements Iterable<ActiveRun> {
  #runs: ActiveRun[] = [];
  /** The index of the first run that has not left the queue. */
  #head = 0;

  add(run: ActiveRun): void {
    this.#runs.push(run);
  }

  /** Removes and returns the first run that still waits, or null. */
  take(): ActiveRun | null {
    for (;;) {
      const run = this.#runs[this.#head++];
      if (run === undefined) {
        this.#runs = [];
        this.#head = 0;
        return null;
      }
      // Shorten the array rarely, so that its cost per run stays small.
      if (this.#head > 1000 && this.#head * 2 > this.#runs.length) {
        this.#runs = this.#runs.slice(this.#head);
        this.#head = 0;
      }
      if (run.isActive) return run;
    }
  }

  find(runId: string): ActiveRun | null {
    for (const run of this) if (run.runId === runId) return run;
    return null;
  }

  /** The runs that still wait. */
  *[Symbol.iterator](): Iterator<ActiveRun> {
    for (let at = this.#head; at < this.#runs.length; at++) {
      const run = this.#runs[at];
      if (run?.isActive) yield run;
    }
  }
}
