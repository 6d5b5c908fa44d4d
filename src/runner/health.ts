import { describeValue } from "../protocol/describe-value.ts";
import { type RunStoreError, type RunStoreErrorCode, toRunStoreError } from "../protocol/errors.ts";
import { withDeadline } from "../protocol/with-deadline.ts";
import type { RunStore } from "../store/run-store.ts";

export interface RunnerHealth {
  /** Whether runs can be stored. */
  readonly ok: boolean;
  /** Why not: the code of `docs/errors.md`. Null if they can be. */
  readonly code: RunStoreErrorCode | null;
  /** Milliseconds for which the oldest operation has been waiting to be stored. */
  readonly lagMs: number;
  readonly activeRuns: number;
}

export interface HealthOptions {
  /** More milliseconds of lag than this are unhealthy. Default 5000, after which new runs are refused. */
  readonly maxLagMs?: number | undefined;
}

/** The store is asked no more often, in milliseconds. */
const PROBE_EVERY_MS = 1000;
/** Milliseconds to wait for the store: probes of Kubernetes wait for a second. */
const PATIENCE_MS = 500;
const MAX_LAG_MS = 5000;

interface HealthContext {
  readonly store: RunStore;
  readonly isClosing: () => boolean;
  readonly activeRuns: () => number;
}

/** Finds out whether a store can be written. */
export class Health {
  readonly #context: HealthContext;
  /** The probe that was begun last. */
  #probe: Promise<void> | null = null;
  #probedAt = Number.NEGATIVE_INFINITY;
  #isAsking = false;
  /** Why the last probe that ended failed, or null. */
  #failure: RunStoreError | null = null;

  constructor(context: HealthContext) {
    this.#context = context;
  }

  async read({ maxLagMs = MAX_LAG_MS }: HealthOptions): Promise<RunnerHealth> {
    assertMaxLag("health", maxLagMs);
    if (!this.#context.isClosing()) await this.#ask();
    const { store, activeRuns } = this.#context;
    const stats = store.stats();
    // A probe without an answer waits like any other operation.
    const lagMs = Math.max(stats.lagMs, this.#isAsking ? performance.now() - this.#probedAt : 0);
    const code = this.#codeOf(lagMs > maxLagMs, stats.lastError);
    return { ok: code === null, code, lagMs: Math.round(lagMs), activeRuns: activeRuns() };
  }

  #codeOf(isLate: boolean, lastError: RunStoreError | null): RunStoreErrorCode | null {
    if (this.#context.isClosing()) return "RUNNER_CLOSED";
    if (this.#failure !== null) return this.#failure.code;
    if (this.#context.store.overloaded) return "QUEUE_FULL";
    return isLate ? (lastError?.code ?? "QUEUE_FULL") : null;
  }

  /** Waits for a probe that is young enough, but not for long. */
  async #ask(): Promise<void> {
    const isOld = performance.now() - this.#probedAt >= PROBE_EVERY_MS;
    if (!this.#isAsking && isOld) this.#probe = this.#begin();
    if (this.#isAsking && this.#probe !== null) await withDeadline(this.#probe, PATIENCE_MS);
  }

  /** Never rejects. */
  async #begin(): Promise<void> {
    const { store } = this.#context;
    this.#probedAt = performance.now();
    this.#isAsking = true;
    try {
      if (store.probe === undefined) await store.ready();
      else await store.probe();
      this.#failure = null;
    } catch (cause) {
      this.#failure = toRunStoreError(cause);
    } finally {
      this.#isAsking = false;
    }
  }
}

/** @throws {TypeError} it is not a number of milliseconds. */
export function assertMaxLag(caller: string, maxLagMs: unknown): void {
  if (typeof maxLagMs === "number" && maxLagMs >= 0) return;
  const got = describeValue(maxLagMs);
  throw new TypeError(`${caller}: expected maxLagMs to be a number of milliseconds, got ${got}`);
}
