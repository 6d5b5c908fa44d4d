import { type RunStoreError, toRunStoreError } from "../../protocol/errors.ts";

/** Tries to write a heartbeat that failed, in the time between two heartbeats. */
const TRIES = 4;

export interface HeartbeatLoopOptions {
  readonly beat: () => Promise<void>;
  /** Milliseconds from one heartbeat to the next. Asked before each. */
  readonly intervalMs: () => number;
  /** What is due after each heartbeat, by what it is called in the log. */
  readonly duties: Readonly<Record<string, () => Promise<unknown>>>;
  /** `isNew` is false for a heartbeat that fails like the one before it. */
  readonly onFailure: (error: RunStoreError, what: string, isNew: boolean) => void;
}

/**
 * Writes the heartbeats of an instance, and begins what is due after each. No heartbeat waits for a duty, which
 * may take longer than the lease: ending the runs of a dead host, for example. And no duty waits for another.
 */
export class HeartbeatLoop {
  readonly #options: HeartbeatLoopOptions;
  /** The duties that are being done. The next heartbeat does not begin them again. */
  readonly #underWay = new Set<string>();
  #isBeaten = true;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(options: HeartbeatLoopOptions) {
    this.#options = options;
  }

  /** The first heartbeat comes after an interval. */
  start(): void {
    // A store that could not be opened whole is opened again.
    clearTimeout(this.#timer);
    this.#schedule(this.#options.intervalMs());
  }

  /** Duties that are being done go on. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  #schedule(afterMs: number): void {
    if (this.#ended) return;
    this.#timer = setTimeout(async () => {
      await this.#beat();
      const intervalMs = this.#options.intervalMs();
      this.#schedule(this.#isBeaten ? intervalMs : intervalMs / TRIES);
    }, afterMs);
    this.#timer.unref();
  }

  async #beat(): Promise<void> {
    const { beat, duties, onFailure } = this.#options;
    const wasBeaten = this.#isBeaten;
    try {
      await beat();
      this.#isBeaten = true;
    } catch (error) {
      this.#isBeaten = false;
      onFailure(toRunStoreError(error), "a heartbeat", wasBeaten);
      return;
    }
    for (const [what, duty] of Object.entries(duties)) void this.#do(what, duty);
  }

  async #do(what: string, duty: () => Promise<unknown>): Promise<void> {
    if (this.#underWay.has(what)) return;
    this.#underWay.add(what);
    try {
      await duty();
    } catch (error) {
      this.#options.onFailure(toRunStoreError(error), what, true);
    } finally {
      this.#underWay.delete(what);
    }
  }
}
