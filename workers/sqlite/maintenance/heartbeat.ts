import type { WriterNotice } from "../../../src/protocol/messages.ts";
import { OwnHeartbeat } from "../../../src/runs/own-heartbeat.ts";
import { unlessFileFails } from "../database/fault.ts";
import { beat } from "../instances/instances.ts";
import type { WriterContext } from "../runs/writer-context.ts";

/**
 * A longer transaction of this instance counts as time in which other instances could not write: SQLite
 * has them try the lock at intervals of up to 100 ms.
 */
const LONG_TRANSACTION_MS = 50;

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
  readonly #own: OwnHeartbeat;
  #timer: NodeJS.Timeout | undefined;
  /** Milliseconds of long transactions of this instance since its last heartbeat. */
  #lockedMs = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#own = new OwnHeartbeat(options.context.config.leaseMs);
    this.reschedule();
  }

  get intervalMs(): number {
    return this.#own.intervalMs;
  }

  /**
   * Called after a transaction. `ms` is the time for which this instance waited for and held the lock.
   */
  noteTransaction(ms: number): void {
    if (ms > LONG_TRANSACTION_MS) this.#lockedMs += ms;
  }

  /** Renews the lease before a batch is committed: after a suspend the timer fires late. */
  beatIfLate(): void {
    if (this.#own.isLate) unlessFileFails(() => this.#beat(), this.#options.notify);
  }

  /** Writes a heartbeat, to learn whether the file can be written. Throws why it cannot. */
  beatNow(): void {
    this.#beat();
  }

  /** Adapts the interval to the leases of the instances that have the file open now. */
  reschedule(): void {
    this.#adapt();
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
    }, this.#own.intervalMs);
  }

  #adapt(): void {
    const { statements } = this.#options.context;
    this.#own.adaptTo(statements.instances.all().map(({ lease_ms }) => lease_ms));
  }

  #beat(): void {
    const { context, notify, onBeat } = this.#options;
    this.#own.beginning();
    beat(context);
    const { overslept, writableMs } = this.#own.beaten(this.#lockedMs);
    this.#lockedMs = 0;
    if (overslept) notify({ kind: "overslept" });
    context.liveness.observe(context.statements.instances.all(), writableMs);
    this.#adapt();
    onBeat();
  }
}
