import { setTimeout as delay } from "node:timers/promises";

/** What has failed for this long is reported to whoever waits for it, and goes on. */
const STALL_MS = 5000;
const FIRST_WAIT_MS = 50;
const MAX_WAIT_MS = 2000;

/** When to try again what fails because of a disk, a lock or a thread, and when to say so. */
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

  /** Another failure. True when it has gone on for so long that those who wait should know. */
  failed(): boolean {
    const now = performance.now();
    this.#failingSince ??= now;
    return now - this.#failingSince >= STALL_MS;
  }

  /** Waits before the try that follows number `attempt`, from 0; whoever waits looks at the signal next. */
  async wait(attempt: number): Promise<void> {
    if (attempt < 0) return;
    const ms = Math.min(FIRST_WAIT_MS * 2 ** attempt, MAX_WAIT_MS);
    await delay(ms, undefined, { signal: this.#signal }).catch(() => undefined);
  }
}
