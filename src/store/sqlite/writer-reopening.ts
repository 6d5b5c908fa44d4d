import { setTimeout as delay } from "node:timers/promises";
import { toRunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";

/** How long to wait before a writer is asked for the second time to open the file; then twice as long. */
const FIRST_WAIT_MS = 20;
/** How often it is asked within a lease: as soon as it can beat its heart, the others can judge it. */
const TRIES_PER_LEASE = 10;

export interface WriterReopeningOptions {
  readonly leaseMs: number;
  readonly logger: Logger;
  /** Asks the writer to open the file. */
  readonly open: () => Promise<unknown>;
  /** Ends it all. */
  readonly signal: AbortSignal;
}

/**
 * Has a writer that takes a dead one's place open the file.
 *
 * A writer opens the file at its first request, and until then no heart beats. So it is asked until
 * it has: another program may hold the lock, or the disk be full.
 */
export class WriterReopening {
  readonly #options: WriterReopeningOptions;
  #running = false;

  constructor(options: WriterReopeningOptions) {
    this.#options = options;
  }

  async begin(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    const { leaseMs, logger, open, signal } = this.#options;
    let told = "";
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await open();
        break;
      } catch (cause) {
        const error = toRunStoreError(cause);
        const fields = { err: error, code: error.code };
        if (!signal.aborted && error.code !== told) {
          logger.error(fields, "the writer could not reopen, and goes on trying");
        }
        told = error.code;
      }
      const ms = Math.min(FIRST_WAIT_MS * 2 ** attempt, leaseMs / TRIES_PER_LEASE);
      await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
    }
    this.#running = false;
  }
}
