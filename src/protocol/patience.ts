/** A turn of the event loop that takes more milliseconds than this is a stall. */
const STEP_MS = 50;

/**
 * A timer for answers that may not come. Timers fire before messages and sockets are read: after a stall of this
 * thread, an ordinary timer would find an answer late that has long been there. So the time is counted in steps, and a stall
 * counts no more than two of them.
 */
export class Patience {
  readonly #ms: number;
  readonly #onEnd: () => void;
  #leftMs = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(ms: number, onEnd: () => void) {
    this.#ms = ms;
    this.#onEnd = onEnd;
  }

  /** Counts from now on. */
  begin(): void {
    this.#leftMs = this.#ms;
    if (this.#timer === null) this.#step();
  }

  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #step(): void {
    const stepMs = Math.min(STEP_MS, this.#leftMs > 0 ? this.#leftMs : this.#ms);
    const begunAt = performance.now();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const tookMs = performance.now() - begunAt;
      const maxMs = stepMs + STEP_MS;
      this.#leftMs -= Math.min(Math.max(tookMs, stepMs), maxMs);
      // Where every turn of the event loop takes long, the patience ends all the same.
      const isStalled = tookMs > maxMs && this.#leftMs > -this.#ms;
      if (this.#leftMs > 0 || isStalled) this.#step();
      else this.#onEnd();
    }, stepMs);
  }
}
