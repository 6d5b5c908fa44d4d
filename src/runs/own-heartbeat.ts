/** Heartbeats per lease, so that the lease outlives one or two heartbeats that fail. */
const BEATS_PER_LEASE = 3;

/** What the time before a heartbeat of this instance says. */
export interface Beaten {
  /** The lease had ended: other instances may have taken over the runs of this instance. */
  readonly overslept: boolean;
  /** For `Heartbeats.observe`: for how long every instance could write since the last heartbeat. */
  readonly writableMs: number;
}

/** When this instance has written its heartbeat last, and when it is to write the next. */
export class OwnHeartbeat {
  readonly leaseMs: number;
  #intervalMs: number;
  #beatenAt = performance.now();
  /** Since the heartbeat that was written last. */
  #attempts = 0;

  constructor(leaseMs: number) {
    this.leaseMs = leaseMs;
    this.#intervalMs = leaseMs / BEATS_PER_LEASE;
  }

  get intervalMs(): number {
    return this.#intervalMs;
  }

  /**
   * Takes the leases of all instances. The shortest decides how often this instance writes its heartbeat,
   * because it judges the heartbeats of the others each time.
   */
  adaptTo(leasesMs: readonly number[]): void {
    this.#intervalMs = Math.min(this.leaseMs, ...leasesMs) / BEATS_PER_LEASE;
  }

  /** Whether heartbeats are missing: after a suspend, timers fire late. */
  get isLate(): boolean {
    return performance.now() - this.#beatenAt > 2 * this.#intervalMs;
  }

  /** Called before a heartbeat is written. */
  beginning(): void {
    this.#attempts++;
  }

  /**
   * Called when a heartbeat was written. `uncountedMs` is the part of the time since the last heartbeat in
   * which this instance kept the others from writing, or could not know what they wrote.
   *
   * The whole time counts against no instance if the heartbeat is late, or if an attempt to write it has failed:
   * then no instance could write.
   */
  beaten(uncountedMs = 0): Beaten {
    const sinceMs = performance.now() - this.#beatenAt;
    const hasFailed = this.#attempts > 1;
    const writableMs = this.isLate || hasFailed ? 0 : Math.max(0, sinceMs - uncountedMs);
    this.#beatenAt = performance.now();
    this.#attempts = 0;
    return { overslept: sinceMs >= this.leaseMs, writableMs };
  }
}
