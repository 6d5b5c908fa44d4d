import type { BenchResult } from "../results.ts";
import { EITHER, PEER_COLOURS, PLOT_STYLE, variablesOf } from "./colours.ts";
import { plotOf } from "./plot-of.ts";
import { drawPlot } from "./plots.ts";

/** The first measured plot, usually the throughput, as a self-contained file. */
export function readmePlot(result: BenchResult): string {
  for (const trial of result.trials) {
    for (const spec of trial.plots) {
      const drawn = plotOf(result, trial, spec);
      if (drawn === null) continue;
      const style = `<style>.plot { ${variablesOf(EITHER)} }${PLOT_STYLE}${PEER_COLOURS}</style>`;
      // Without a width of its own, the file would be shown as wide as its page.
      return `${drawPlot(drawn.plot)
        .replace("<svg ", '<svg width="680" height="380" ')
        .replace(">", `>${style}`)}\n`;
    }
  }
  throw new Error("nothing was measured that has a plot");
}
