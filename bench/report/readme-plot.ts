import type { BenchResult } from "../results.ts";
import { plotOf } from "./plot-of.ts";
import { drawPlot } from "./plots.ts";

/** The first measured plot, usually the throughput, as a file of its own. */
export function readmePlot(result: BenchResult): string {
  for (const trial of result.trials) {
    for (const spec of trial.plots) {
      const drawn = plotOf(result, trial, spec);
      if (drawn !== null) return `${drawPlot(drawn.plot)}\n`;
    }
  }
  throw new Error("nothing was measured that has a plot");
}
