import type { FigureName } from "../figures.ts";
import type { PlotSpec } from "../results.ts";

const LOOP_DELAY = [
  "loopDelayP50Ms",
  "loopDelayP90Ms",
  "loopDelayP99Ms",
  "loopDelayP999Ms",
  "loopDelayMaxMs",
] as const;

/** A figure over the trial's axis. */
export function line(
  title: string,
  figure: FigureName,
  xScale: PlotSpec["xScale"],
  yScale: PlotSpec["yScale"] = "log",
): PlotSpec {
  return { title, kind: "line", figures: [figure], xScale, yScale };
}

export function loopDelayAt(at: number): PlotSpec {
  const title = `Event-loop delay, ${at} threads`;
  return { title, kind: "percentiles", figures: LOOP_DELAY, at, xScale: "steps", yScale: "log" };
}
