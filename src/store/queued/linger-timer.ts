import type { RunBuffer } from "./run-buffer.ts";

/** Of the linger time, what an event may leave early, so that few batches carry what many runs emit. */
const EARLY = 0.2;

/** Runs with events that linger: each leaves when its oldest event has waited for long enough. */
export class LingerTimer {
  readonly #lingerMs: number;
  readonly #onDue: (buffer: RunBuffer) => void;
  /** The oldest first: all linger equally long. */
  readonly #buffers = new Set<RunBuffer>();
  #timer: NodeJS.Timeout | null = null;

  constructor(lingerMs: number, onDue: (buffer: RunBuffer) => void) {
    this.#lingerMs = lingerMs;
    this.#onDue = onDue;
  }

  add(buffer: RunBuffer): void {
    if (this.#buffers.has(buffer)) return;
    buffer.dueAt = performance.now() + this.#lingerMs;
    this.#buffers.add(buffer);
    this.#timer ??= setTimeout(() => this.#release(), this.#lingerMs);
  }

  /** Its events leave otherwise. */
  delete(buffer: RunBuffer): void {
    this.#buffers.delete(buffer);
  }

  /** Has all leave now. */
  flush(): void {
    for (const buffer of this.#buffers) this.#onDue(buffer);
  }

  /** What lingers never leaves. */
  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#buffers.clear();
  }

  #release(): void {
    this.#timer = null;
    const now = performance.now();
    // A timer may fire a fraction of a millisecond early, too.
    const until = now + Math.max(1, this.#lingerMs * EARLY);
    for (const buffer of this.#buffers) {
      if (buffer.dueAt > until) {
        this.#timer = setTimeout(() => this.#release(), buffer.dueAt - now + 1);
        return;
      }
      this.#onDue(buffer);
    }
  }
}
