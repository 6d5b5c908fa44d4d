/** Of the linger time, what an event may leave early, so that few batches carry what many runs emit. */
const EARLY = 0.2;

/** The events of one run that wait to be sent. */
export interface LingeringEvents {
  /** UTF-16 units of JSON. */
  readonly length: number;
  /** When the oldest of them is due, in milliseconds of `performance.now()`. `LingerTimer` writes it. */
  dueAt: number;
  /** Queues them as an operation of their own. */
  send(): void;
}

/** Runs with events that linger: each leaves when its oldest event has waited for long enough. */
export class LingerTimer {
  readonly #lingerMs: number;
  /** The oldest first: all linger equally long. */
  readonly #runs = new Set<LingeringEvents>();
  #timer: NodeJS.Timeout | null = null;

  constructor(lingerMs: number) {
    this.#lingerMs = lingerMs;
  }

  add(run: LingeringEvents): void {
    if (this.#runs.has(run)) return;
    run.dueAt = performance.now() + this.#lingerMs;
    this.#runs.add(run);
    this.#timer ??= setTimeout(() => this.#release(), this.#lingerMs);
  }

  /** Its events leave otherwise. */
  delete(run: LingeringEvents): void {
    this.#runs.delete(run);
  }

  /** Has all leave now. */
  flush(): void {
    for (const run of this.#runs) run.send();
  }

  /** What lingers never leaves. */
  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#runs.clear();
  }

  #release(): void {
    this.#timer = null;
    const now = performance.now();
    // A timer may fire a fraction of a millisecond early, too.
    const until = now + Math.max(1, this.#lingerMs * EARLY);
    for (const run of this.#runs) {
      if (run.dueAt > until) {
        this.#timer = setTimeout(() => this.#release(), run.dueAt - now + 1);
        return;
      }
      run.send();
    }
  }
}
