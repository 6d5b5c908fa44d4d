import { setTimeout as delay } from "node:timers/promises";
import { toRunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";

/** Milliseconds before the second try to open the file. The wait doubles with each further try. */
const FIRST_WAIT_MS = 20;
/**
 * Tries within a lease at least. The first heartbeat has to follow soon after the file can be opened, before
 * other instances count this instance as dead.
 */
const TRIES_PER_LEASE = 10;

export interface WriterReopeningOptions {
  readonly leaseMs: number;
  readonly logger: Logger;
  /** Asks the writer to open the file. */
  readonly open: () => Promise<unknown>;
  /** Ends the reopening. */
  readonly signal: AbortSignal;
}

/**
 * Has the successor of a dead writer open the file.
 *
 * A writer opens the file at its first request, and sends no heartbeat before that. Opening may fail for
 * a while, when another program holds the lock or the disk is full. So it is tried until it succeeds.
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
    let loggedCode = "";
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await open();
        break;
      } catch (cause) {
        const error = toRunStoreError(cause);
        const fields = { err: error, code: error.code };
        if (!signal.aborted && error.code !== loggedCode) {
          logger.error(fields, "the writer could not reopen the file, and goes on trying");
        }
        loggedCode = error.code;
      }
      const ms = Math.min(FIRST_WAIT_MS * 2 ** attempt, leaseMs / TRIES_PER_LEASE);
      await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
    }
    this.#running = false;
  }
}
