import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import type { Distribution, StoreStats } from "../run-store.ts";

/** Percentiles of positive numbers, precise to a thousandth. */
class Histogram {
  readonly #histogram: RecordableHistogram = createHistogram();

  record(value: number): void {
    // `RecordableHistogram` takes only integers from 1 up.
    this.#histogram.record(Math.max(1, Math.round(value * 1000)));
  }

  distribution(): Distribution {
    if (this.#histogram.count === 0) return { p50: 0, p99: 0, max: 0 };
    return {
      p50: this.#histogram.percentile(50) / 1000,
      p99: this.#histogram.percentile(99) / 1000,
      max: this.#histogram.max / 1000,
    };
  }
}

/** Statistics of the acknowledged batches. */
export class BatchStats {
  #batches = 0;
  readonly #size = new Histogram();
  readonly #commitMs = new Histogram();

  /** Counts a batch of `size` operations that was acknowledged `ms` milliseconds after it was sent. */
  record(size: number, ms: number): void {
    this.#batches++;
    this.#size.record(size);
    this.#commitMs.record(ms);
  }

  read(): Pick<StoreStats, "batches" | "batchSize" | "commitMs"> {
    return {
      batches: this.#batches,
      batchSize: this.#size.distribution(),
      commitMs: this.#commitMs.distribution(),
    };
  }
}
