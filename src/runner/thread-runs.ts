import type { ActiveRun, RunListener } from "./active-run.ts";

interface Thread {
  /** The run that stands in the way of the next one, if any. */
  current: ActiveRun | null;
  /** Runs to start after it, in order of arrival. */
  readonly waiting: ActiveRun[];
  /** All runs of the thread whose outcome is not in the store yet, oldest first. */
  readonly open: Set<ActiveRun>;
}

/**
 * The runs of this runner, by thread. A thread is remembered while it has a run that is not
 * stored, and costs nothing after that.
 */
export class ThreadRuns implements RunListener {
  readonly #threads = new Map<string, Thread>();
  #idleWaiters: (() => void)[] = [];

  /** The run that stands in the way of a new one on the thread. */
  current(threadId: string): ActiveRun | null {
    return this.#threads.get(threadId)?.current ?? null;
  }

  /** The thread's runs that are not in its history yet, oldest first. */
  open(threadId: string): readonly ActiveRun[] {
    const thread = this.#threads.get(threadId);
    return thread === undefined
      ? []
      : [...thread.open].filter((run) => !thread.waiting.includes(run));
  }

  /** The run of this id that is current, or else the first that waits. */
  find(threadId: string, runId: string): ActiveRun | null {
    const thread = this.#threads.get(threadId);
    if (thread === undefined) return null;
    if (thread.current?.runId === runId) return thread.current;
    return thread.waiting.find((run) => run.runId === runId) ?? null;
  }

  /** Starts `run` now, or when the runs before it on its thread have settled. */
  add(run: ActiveRun): void {
    let thread = this.#threads.get(run.threadId);
    if (thread === undefined) {
      thread = { current: null, waiting: [], open: new Set() };
      this.#threads.set(run.threadId, thread);
    }
    thread.open.add(run);
    if (thread.current === null) {
      thread.current = run;
      void run.start();
    } else {
      thread.waiting.push(run);
    }
  }

  /** Runs that execute, claim or wait: everything a close has to end. */
  get active(): readonly ActiveRun[] {
    const runs: ActiveRun[] = [];
    for (const thread of this.#threads.values()) {
      for (const run of thread.open) if (run.isActive) runs.push(run);
    }
    return runs;
  }

  /** Resolves when no run is active. */
  async idle(): Promise<void> {
    if (this.active.length === 0) return;
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  onSettled(run: ActiveRun): void {
    const thread = this.#threads.get(run.threadId);
    if (thread === undefined) return;
    const at = thread.waiting.indexOf(run);
    if (at !== -1) thread.waiting.splice(at, 1);
    if (thread.current === run) {
      const next = thread.waiting.shift() ?? null;
      thread.current = next;
      void next?.start();
    }
    this.#wakeIdle();
  }

  onEnded(run: ActiveRun): void {
    // A run that was refused never settled.
    this.onSettled(run);
    const thread = this.#threads.get(run.threadId);
    if (thread === undefined) return;
    thread.open.delete(run);
    if (thread.open.size === 0) this.#threads.delete(run.threadId);
  }

  #wakeIdle(): void {
    if (this.#idleWaiters.length === 0 || this.active.length > 0) return;
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }
}
