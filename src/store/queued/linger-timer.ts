import { RunList } from "./run-list.ts";

/** The part of the linger time by which events may leave early. Fewer batches then carry many runs. */
const EARLY = 0.2;

/** The events of one run that wait to be sent. */
export interface LingeringEvents {
  /** UTF-16 units of JSON. */
  readonly length: number;
  /** When the oldest event is due, in milliseconds of `performance.now()`. `LingerTimer` writes it. */
  dueAt: number;
  /** See `RunList`. */
  lingersAt: number;
  /** Queues the events as an operation of their own. */
  send(): void;
}

/** The runs whose events linger. A run is sent when its oldest event has waited for the linger time. */
export class LingerTimer {
  readonly #lingerMs: number;
  readonly #runs = new RunList<"lingersAt", LingeringEvents>("lingersAt");
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

  /** Removes a run whose events leave with another operation. */
  delete(run: LingeringEvents): void {
    this.#runs.remove(run);
  }

  /** Sends every run now. */
  flush(): void {
    // A copy of the list: a run that is sent leaves it.
    for (const run of [...this.#runs]) run.send();
  }

  /** Drops every run without sending it. */
  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#runs.clear();
  }

  #release(): void {
    this.#timer = null;
    const now = performance.now();
    // At least 1 ms, since a timer may fire a fraction of a millisecond early.
    const until = now + Math.max(1, this.#lingerMs * EARLY);
    let next = Number.POSITIVE_INFINITY;
    for (const run of [...this.#runs]) {
      if (run.dueAt > until) next = Math.min(next, run.dueAt);
      else run.send();
    }
    if (next === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#release(), next - now + 1);
  }
}
