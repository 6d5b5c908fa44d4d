import { AsyncLocalStorage } from "node:async_hooks";
import { syncBuiltinESMExports } from "node:module";
import perfHooks from "node:perf_hooks";
import timersPromises from "node:timers/promises";

/** Whose code it is that sets a timer: a process of the simulation. */
export interface Owner {
  /** A process that was killed: its timers never fire. */
  isDead: boolean;
  /** A process that is paused: its timers fire late. 0 when it is not. */
  pausedUntil: number;
}

interface Task {
  at: number;
  readonly order: number;
  readonly run: () => unknown;
  readonly owner: Owner | undefined;
  cancelled: boolean;
}

/** Immediates of Node. Between two of them, Node settles promises and finds rejections that nobody handles. */
const nextRealTask = setImmediate;
/** So many immediates are made at once: Node executes them in one turn of its event loop, which costs more. */
const TASKS_A_TURN = 64;

/**
 * The time of a simulation: it stands still while code executes, and jumps to the next task.
 *
 * From `install` on, the timers, immediates and clocks of this thread are this one's. Whatever code sets a timer,
 * that timer belongs to the process in whose AsyncLocalStorage context the code executes.
 *
 * A library of fake timers has one clock for all code. Here the timers of one process die, or are late, while those of
 * the others go on.
 */
export class VirtualTime {
  now = 0;
  readonly #owners = new AsyncLocalStorage<Owner>();
  #tasks: Task[] = [];
  #order = 0;
  /** Executes the next task, or is null. */
  #next: (() => void) | null = null;
  /** Immediates of Node that are due. */
  #realTasks = 0;

  /** Executes `code` as the process `owner`. */
  as<T>(owner: Owner, code: () => T): T {
    return this.#owners.run(owner, code);
  }

  /** Executes `code` as nobody's: it is what happens to the processes. */
  outside<T>(code: () => T): T {
    return this.#owners.exit(code);
  }

  /** Executes all tasks up to the moment `until`. */
  runUntil(until: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#next = () => {
        const task = this.#take(until);
        if (task === null) {
          this.now = Math.max(this.now, until);
          this.#next = null;
          resolve();
          return;
        }
        try {
          // A context of AsyncLocalStorage that is not the process's own is of no use to a simulation.
          if (task.owner === undefined) task.run();
          else this.#owners.run(task.owner, task.run);
        } catch (error) {
          this.#next = null;
          reject(error);
        }
      };
      if (this.#realTasks === 0) this.#makeRealTasks();
    });
  }

  #makeRealTasks(): void {
    this.#realTasks = TASKS_A_TURN;
    const execute = () => {
      this.#realTasks--;
      this.#next?.();
      if (this.#realTasks === 0 && this.#next !== null) this.#makeRealTasks();
    };
    for (let count = 0; count < TASKS_A_TURN; count++) nextRealTask(execute);
  }

  /** Time begins again, without any task. */
  reset(): void {
    this.now = 0;
    this.#tasks = [];
    this.#order = 0;
  }

  after(ms: number, run: () => unknown): Task {
    const owner = this.#owners.getStore();
    const at = this.now + Math.max(0, ms);
    const task: Task = { at, order: ++this.#order, run, owner, cancelled: false };
    this.#insert(task);
    return task;
  }

  /** Sorted by time, the next task last: nearly all new tasks are due soon. */
  #insert(task: Task): void {
    const tasks = this.#tasks;
    let place = tasks.length;
    while (place > 0 && isBefore(tasks[place - 1] as Task, task)) place--;
    tasks.splice(place, 0, task);
  }

  #take(until: number): Task | null {
    for (;;) {
      const task = this.#tasks.at(-1);
      if (task === undefined || task.at > until) return null;
      this.#tasks.pop();
      if (task.cancelled || task.owner?.isDead) continue;
      const { pausedUntil = 0 } = task.owner ?? {};
      if (pausedUntil > task.at) {
        task.at = pausedUntil;
        this.#insert(task);
        continue;
      }
      this.now = Math.max(this.now, task.at);
      return task;
    }
  }

  install(): void {
    const setTimer = (run: (...args: unknown[]) => void, ms = 1, ...args: unknown[]) =>
      new Handle(this.after(Math.max(1, ms), () => run(...args)));
    const setRepeated = (run: () => void, ms: number) => {
      const repeat = () => {
        handle.task = this.after(ms, repeat);
        run();
      };
      const handle = new Handle(this.after(ms, repeat));
      return handle;
    };
    const setNow = (run: (...args: unknown[]) => void, ...args: unknown[]) =>
      new Handle(this.after(0, () => run(...args)));
    const clear = (handle: unknown) => {
      if (handle instanceof Handle) handle[Symbol.dispose]();
    };
    Object.assign(globalThis, {
      setTimeout: setTimer,
      clearTimeout: clear,
      setInterval: setRepeated,
      clearInterval: clear,
      setImmediate: setNow,
      clearImmediate: clear,
    });
    performance.now = () => this.now;
    Date.now = () => Date.UTC(2026, 0, 1) + this.now;
    Object.assign(timersPromises, {
      setTimeout: (ms = 1, value?: unknown, options: { signal?: AbortSignal } = {}) =>
        this.#promise(Math.max(1, ms), value, options.signal),
      setImmediate: (value?: unknown) => this.#promise(0, value, undefined),
    });
    // Statistics are not what is simulated, and a histogram takes longer to make than many a simulated run.
    const histogram = { count: 0, max: 0, record() {}, percentile: () => 0 };
    Object.assign(perfHooks, { createHistogram: () => histogram });
    syncBuiltinESMExports();
  }

  #promise(ms: number, value: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        task.cancelled = true;
        reject(signal?.reason);
      };
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const task = this.after(ms, () => {
        signal?.removeEventListener("abort", abort);
        resolve(value);
      });
      signal?.addEventListener("abort", abort, { once: true });
    });
  }
}

/** What `setTimeout` returns. */
class Handle {
  task: Task;

  constructor(task: Task) {
    this.task = task;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return true;
  }

  [Symbol.dispose](): void {
    this.task.cancelled = true;
  }
}

const isBefore = (a: Task, b: Task) => a.at < b.at || (a.at === b.at && a.order < b.order);
