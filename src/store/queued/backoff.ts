import { setTimeout as delay } from "node:timers/promises";

/** Failures that last this long are reported to the waiting callers. Retries go on. */
const STALL_MS = 5000;
const FIRST_WAIT_MS = 50;
const MAX_WAIT_MS = 2000;

/** When to retry after a failure of a disk, a lock or a thread, and when to report the failure. */
export class Backoff {
  readonly #signal: AbortSignal;
  #failingSince: number | null = null;

  /** `signal` ends every wait. */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** True when the last try has failed. */
  get failing(): boolean {
    return this.#failingSince !== null;
  }

  succeeded(): void {
    this.#failingSince = null;
  }

  /** Notes a failure. True when failures have lasted so long that the waiting callers should be told. */
  failed(): boolean {
    const now = performance.now();
    this.#failingSince ??= now;
    return now - this.#failingSince >= STALL_MS;
  }

  /**
   * Waits after failed attempt number `attempt`, counted from 0. A negative number does not wait. The
   * signal ends the wait without an error, so the caller has to check the signal next.
   */
  async wait(attempt: number): Promise<void> {
    if (attempt < 0) return;
    const ms = Math.min(FIRST_WAIT_MS * 2 ** attempt, MAX_WAIT_MS);
    await delay(ms, undefined, { signal: this.#signal }).catch(() => undefined);
  }
}
