import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import type { Distribution } from "../run-store.ts";

/** Percentiles of a stream of positive numbers, kept to a thousandth. */
export class Histogram {
  readonly #histogram: RecordableHistogram = createHistogram();

  record(value: number): void {
    // The histogram takes whole numbers from 1.
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
