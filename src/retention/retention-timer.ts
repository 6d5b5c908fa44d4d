import { type RunStoreError, toRunStoreError } from "../protocol/errors.ts";
import type { Logger } from "../protocol/logger.ts";
import type { PurgeLimits, PurgeResult } from "../protocol/threads.ts";
import { retentionChannel } from "../telemetry/channels.ts";
import type { Retention } from "./limits.ts";

const HOUR_MS = 3_600_000;

/** The first purge is made so soon, in milliseconds, for processes that do not live for an hour. */
const FIRST_MS = 60_000;

export interface RetentionTimerOptions {
  readonly retention: Retention;
  /** Purges all threads, unless another process does so already. */
  readonly purge: (limits: PurgeLimits, signal: AbortSignal) => Promise<PurgeResult>;
  readonly logger: Logger;
}

/** Purges again and again, from its first use on. It does not keep the process alive. */
export class RetentionTimer {
  readonly #options: RetentionTimerOptions;
  readonly #ended = new AbortController();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: RetentionTimerOptions) {
    this.#options = options;
  }

  /** Called when the runner is used. Further calls do nothing. */
  start(): void {
    if (this.#timer !== null || this.#ended.signal.aborted) return;
    this.#schedule(Math.min(FIRST_MS, this.#everyMs));
  }

  /** Ends a purge that is under way, too. */
  end(): void {
    this.#ended.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  get #everyMs(): number {
    return this.#options.retention.everyMs ?? HOUR_MS;
  }

  #schedule(ms: number): void {
    this.#timer = setTimeout(() => void this.#purge(), ms);
    this.#timer.unref();
  }

  async #purge(): Promise<void> {
    const { retention, purge, logger } = this.#options;
    const { everyMs: _, ...limits } = retention;
    const startedAt = performance.now();
    const publish = (removed: PurgeResult | null, error: RunStoreError | null) => {
      if (!retentionChannel.hasSubscribers) return;
      retentionChannel.publish({ removed, ms: performance.now() - startedAt, error });
    };
    try {
      const removed = await purge(limits, this.#ended.signal);
      publish(removed, null);
      if (removed.runs > 0) logger.info({ ...removed }, "threads and runs were purged");
    } catch (cause) {
      if (!this.#ended.signal.aborted) {
        const error = toRunStoreError(cause);
        publish(null, error);
        logger.error({ err: cause, code: error.code }, "a purge failed; it is tried again later");
      }
    }
    if (!this.#ended.signal.aborted) this.#schedule(this.#everyMs);
  }
}
