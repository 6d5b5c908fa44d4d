import type { WriterNotice } from "../../../src/protocol/messages.ts";
import { unlessFileFails } from "../database/fault.ts";
import { beat } from "../instances/instances.ts";
import type { WriterContext } from "../runs/writer-context.ts";

/**
 * A longer transaction of this instance counts as time in which other instances could not write: SQLite
 * has them try the lock at intervals of up to 100 ms.
 */
const LONG_TRANSACTION_MS = 50;

/** Heartbeats per lease, so that the lease outlives one or two heartbeats that fail. */
const BEATS_PER_LEASE = 3;

export interface HeartbeatOptions {
  readonly context: WriterContext;
  readonly notify: (notice: WriterNotice) => void;
  /** Whether the open file still has its name. If not, the writer closes the file. */
  readonly isFileThere: () => boolean;
  /** Called after each heartbeat that was written. */
  readonly onBeat: () => void;
}

/**
 * Writes the heartbeat by which other instances know that this instance is alive. Measures how long the
 * heartbeats of other instances have stood still.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: NodeJS.Timeout | undefined;
  #intervalMs: number;
  #beatenAt = performance.now();
  /** Milliseconds of long transactions of this instance since its last heartbeat. */
  #lockedMs = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#intervalMs = this.#nextIntervalMs();
    this.#schedule();
  }

  get intervalMs(): number {
    return this.#intervalMs;
  }

  /**
   * Called after a transaction. `ms` is the time for which this instance waited for and held the lock.
   */
  noteTransaction(ms: number): void {
    if (ms > LONG_TRANSACTION_MS) this.#lockedMs += ms;
  }

  /** Renews the lease before a batch is committed: after a suspend the timer fires late. */
  beatIfLate(): void {
    if (performance.now() - this.#beatenAt <= 2 * this.#intervalMs) return;
    unlessFileFails(() => this.#beat(), this.#options.notify);
  }

  /** Adapts the interval to the leases of the instances that have the file open now. */
  reschedule(): void {
    this.#intervalMs = this.#nextIntervalMs();
    this.#schedule();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const { isFileThere, notify } = this.#options;
      if (!isFileThere()) return;
      unlessFileFails(() => this.#beat(), notify);
      this.#schedule();
    }, this.#intervalMs);
  }

  /**
   * The shortest lease of all instances decides, because this instance judges the heartbeats of the
   * others each time it writes its own.
   */
  #nextIntervalMs(): number {
    const { statements, config } = this.#options.context;
    const leases = statements.instances.all().map(({ lease_ms }) => lease_ms);
    return Math.min(config.leaseMs, ...leases) / BEATS_PER_LEASE;
  }

  #beat(): void {
    const { context, notify, onBeat } = this.#options;
    const sinceMs = performance.now() - this.#beatenAt;
    beat(context);
    this.#beatenAt = performance.now();
    if (sinceMs >= context.config.leaseMs) notify({ kind: "overslept" });
    // A heartbeat is late when no instance could write. That time counts against no instance.
    const isLate = sinceMs > 2 * this.#intervalMs;
    const writableMs = isLate ? 0 : Math.max(0, sinceMs - this.#lockedMs);
    this.#lockedMs = 0;
    context.liveness.observe(context.statements.instances.all(), writableMs);
    this.#intervalMs = this.#nextIntervalMs();
    onBeat();
  }
}
