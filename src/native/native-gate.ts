import { RunStoreError } from "../protocol/errors.ts";

/** Set when no thread may pass any more. The bits below it count the threads that have passed and are not back. */
const SHUT = 1 << 30;

/**
 * Keeps worker threads from being terminated during calls of native code that aborts the whole process then: the
 * SQLite driver while it registers itself, and zlib between making and initialising a stream.
 *
 * Before and after such a call a thread can be terminated at any moment. So each thread is counted here during
 * the call. Before threads are terminated, the gate is shut and the calls under way are waited for.
 *
 * A pool makes one gate for its threads, which get the cell with their `workerData`.
 */
export class NativeGate {
  readonly cell: Int32Array<SharedArrayBuffer>;

  constructor(cell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))) {
    this.cell = cell;
  }

  /** Makes a call, in the thread that may be terminated. Throws `RUNNER_CLOSED` if the gate is shut. */
  pass<T>(call: () => T): T {
    try {
      // Count this thread before looking: either the thread that shuts the gate sees the call, or this thread
      // sees the gate as shut.
      const before = Atomics.add(this.cell, 0, 1);
      if ((before & SHUT) !== 0) throw new RunStoreError("RUNNER_CLOSED", "the runner is closed");
      return call();
    } finally {
      Atomics.sub(this.cell, 0, 1);
      Atomics.notify(this.cell, 0);
    }
  }

  /** From now on, no thread passes. */
  shut(): void {
    Atomics.or(this.cell, 0, SHUT);
  }

  get isBusy(): boolean {
    return (Atomics.load(this.cell, 0) & ~SHUT) !== 0;
  }

  /** Blocks this thread until another one has begun or ended a call, or the time is over. */
  waitForChange(timeoutMs: number): void {
    const value = Atomics.load(this.cell, 0);
    if ((value & ~SHUT) !== 0) Atomics.wait(this.cell, 0, value, timeoutMs);
  }
}
