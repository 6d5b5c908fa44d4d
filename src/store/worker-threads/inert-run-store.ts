import { RunStoreError } from "../../protocol/errors.ts";
import type { ClaimOutcome, HistoryPage, RunStore, StoreStats } from "../run-store.ts";

const NOTHING = { p50: 0, p99: 0, max: 0 };

/**
 * The store of a runner that is made in a worker thread of this package. It opens nothing.
 *
 * A worker thread loads the modules that its process preloads (`node --import`). If such a module makes
 * a runner, each worker thread makes a runner too. With workers of its own, that runner would start
 * worker threads without end.
 */
export class InertRunStore implements RunStore {
  readonly overloaded = false;
  readonly stuck = false;

  async ready(): Promise<void> {}

  claim(): Promise<ClaimOutcome> {
    return Promise.reject(refusal());
  }

  readHistory(): Promise<HistoryPage> {
    return Promise.reject(refusal());
  }

  async runningRun(): Promise<null> {
    return null;
  }

  // biome-ignore lint/correctness/useYield: this store has no runs to follow.
  async *follow(): AsyncGenerator<never, void, undefined> {
    throw refusal();
  }

  async requestStop(): Promise<boolean> {
    return false;
  }

  async released(): Promise<void> {}

  async flush(): Promise<void> {}

  async close(): Promise<void> {}

  stats(): StoreStats {
    const counts = { queueDepth: 0, queueBytes: 0, lagMs: 0, batches: 0, walBytes: 0 };
    return { ...counts, batchSize: NOTHING, commitMs: NOTHING, lastError: null };
  }
}

function refusal(): RunStoreError {
  return new RunStoreError(
    "RUNNER_CLOSED",
    "a runner made in a worker thread of durable-agent-runner does nothing: make it in the main thread",
  );
}
