import { RunStoreError } from "./errors.ts";

/** Set when no thread may begin to load any more. The bits below it count the threads that are loading. */
const SHUT = 1 << 30;

/**
 * Keeps worker threads from being terminated while they load the SQLite driver.
 *
 * The driver's native code aborts the whole process if its thread is terminated while the code registers
 * itself. Before and after that a thread can be terminated at any moment. So each thread is counted here
 * while it loads. Before threads are terminated, the gate is shut and the loading ones are waited for.
 *
 * A pool makes one gate for its threads, which get the cell with their `workerData`.
 */
export class LoadGate {
  readonly cell: Int32Array<SharedArrayBuffer>;

  constructor(cell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))) {
    this.cell = cell;
  }

  /** Runs `load`, in the thread that loads. Throws `RUNNER_CLOSED` if the gate is shut. */
  pass<T>(load: () => T): T {
    try {
      // Count this thread before looking: either the thread that shuts the gate sees this one as loading, or
      // this thread sees the gate as shut.
      const before = Atomics.add(this.cell, 0, 1);
      if ((before & SHUT) !== 0) throw new RunStoreError("RUNNER_CLOSED", "the runner is closed");
      return load();
    } finally {
      Atomics.sub(this.cell, 0, 1);
      Atomics.notify(this.cell, 0);
    }
  }

  /** From now on, no thread begins to load. */
  shut(): void {
    Atomics.or(this.cell, 0, SHUT);
  }

  get isLoading(): boolean {
    return (Atomics.load(this.cell, 0) & ~SHUT) !== 0;
  }

  /** Blocks this thread until another one has begun or ended loading, or the time is over. */
  waitForChange(timeoutMs: number): void {
    const value = Atomics.load(this.cell, 0);
    if ((value & ~SHUT) !== 0) Atomics.wait(this.cell, 0, value, timeoutMs);
  }
}
