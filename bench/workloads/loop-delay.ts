import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";

const RESOLUTION_MS = 1;

export interface LoopDelay {
  readonly loopDelayP50Ms: number;
  readonly loopDelayP90Ms: number;
  readonly loopDelayP99Ms: number;
  readonly loopDelayP999Ms: number;
  readonly loopDelayMaxMs: number;
}

/**
 * Measures how late the event loop is. Node's histogram holds the time between two ticks of a timer of
 * 1 ms. Less that millisecond, this is the wait of any other work that was due. A tick that is late by
 * 100 ms is one value, not 100: the percentiles count ticks.
 */
export async function watchLoopDelay(): Promise<() => Promise<LoopDelay>> {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  // A block before the first tick is not measured either: it has no earlier tick to measure from.
  await delay(3 * RESOLUTION_MS);
  return async () => {
    // A block is in the histogram only when the tick after it has come.
    await delay(3 * RESOLUTION_MS);
    histogram.disable();
    const late = (ns: number) => Math.max(0, ns / 1e6 - RESOLUTION_MS);
    return {
      loopDelayP50Ms: late(histogram.percentile(50)),
      loopDelayP90Ms: late(histogram.percentile(90)),
      loopDelayP99Ms: late(histogram.percentile(99)),
      loopDelayP999Ms: late(histogram.percentile(99.9)),
      loopDelayMaxMs: late(histogram.max),
    };
  };
}
