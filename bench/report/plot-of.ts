import { FIGURES, formatNumber, labelOf } from "../figures.ts";
import type { BenchResult, PlotSpec, TrialResult } from "../results.ts";
import type { Spread } from "../statistics.ts";
import type { Plot, PlotPoint, Series, XAxis } from "./plots.ts";
import { figureOf, formatFigure, peersOf, pointsOf, type Table } from "./summary.ts";

const COURSE_ROWS = 8;

export interface PlotAndTable {
  readonly plot: Plot;
  /** The table of the plotted figures. */
  readonly table: Table;
}

function pointOf(x: number, { median, min, max }: Spread): PlotPoint {
  return { x, y: median, low: min, high: max };
}

function shapeOf({ peers }: BenchResult, peer: string): number {
  return Math.max(
    0,
    peers.findIndex(({ name }) => name === peer),
  );
}

/** A line for each peer over `places`. A place without a figure is left out. */
function over(
  result: BenchResult,
  trial: TrialResult,
  places: readonly number[],
  figureAt: (place: number, peer: string) => Spread | null,
): { series: Series[]; spreads: (Spread | null)[][] } {
  const peers = peersOf(result, trial);
  const spreads = places.map((place) => peers.map(({ name }) => figureAt(place, name)));
  const series = peers.map(({ name, label }, column) => {
    const shape = shapeOf(result, name);
    const points = places.flatMap((place, row) => {
      const value = spreads[row]?.[column] ?? null;
      return value === null ? [] : [pointOf(place, value)];
    });
    return { name, label, shape, points };
  });
  return { series: series.filter(({ points }) => points.length > 0), spreads };
}

function linePlot(result: BenchResult, trial: TrialResult, spec: PlotSpec): PlotAndTable | null {
  const [figure] = spec.figures;
  if (figure === undefined) return null;
  const places = pointsOf(trial);
  const { series, spreads } = over(result, trial, places, (x, peer) =>
    figureOf(trial, { x, peer, figure }),
  );
  if (series.length === 0) return null;
  const { title, yScale } = spec;
  const x: XAxis = { scale: spec.xScale, values: places };
  const yLabel = labelOf(figure) === FIGURES[figure].unit ? labelOf(figure) : FIGURES[figure].unit;
  return {
    plot: { title, xLabel: trial.axis, yLabel, x, yScale, series, markers: true },
    table: tableBeside(result, trial, trial.axis, x, spreads),
  };
}

function percentilesPlot(
  result: BenchResult,
  trial: TrialResult,
  spec: PlotSpec,
): PlotAndTable | null {
  const { figures, title, yScale } = spec;
  const at = spec.at ?? pointsOf(trial).at(-1) ?? 0;
  const places = figures.map((_, place) => place);
  const { series, spreads } = over(result, trial, places, (place, peer) => {
    const figure = figures[place];
    return figure === undefined ? null : figureOf(trial, { x: at, peer, figure });
  });
  if (series.length === 0) return null;
  const labels = figures.map((figure) => FIGURES[figure].label.split(" ").at(-1) ?? figure);
  const x: XAxis = { scale: "steps", values: places, labels };
  const [first] = figures;
  const yLabel = first === undefined ? "" : FIGURES[first].unit;
  return {
    plot: { title, xLabel: "percentile", yLabel, x, yScale, series, markers: true },
    table: tableBeside(result, trial, "percentile", x, spreads),
  };
}

function coursePlot(result: BenchResult, trial: TrialResult, spec: PlotSpec): PlotAndTable | null {
  const [figure] = spec.figures;
  if (figure === undefined) return null;
  const series = peersOf(result, trial).flatMap(({ name, label }) => {
    // A course shows one round: several lines would hide each other.
    const course = trial.samples.find(({ peer, series }) => peer === name && series?.[figure]);
    const points = course?.series?.[figure]?.map(([x, y]) => ({ x, y })) ?? [];
    return points.length === 0 ? [] : [{ name, label, shape: shapeOf(result, name), points }];
  });
  if (series.length === 0) return null;
  const { unit } = FIGURES[figure];
  const plot = {
    title: spec.title,
    xLabel: "seconds",
    yLabel: unit,
    x: { scale: "linear", values: [] },
    yScale: spec.yScale,
    series,
    markers: false,
  } as const;
  const longest = Math.max(...series.map(({ points }) => points.length));
  const rows = Array.from({ length: Math.min(COURSE_ROWS, longest) }, (_, row) => {
    const share = (row + 1) / Math.min(COURSE_ROWS, longest);
    const cells = series.map(({ points }) => points[Math.ceil(share * points.length) - 1]);
    const seconds = cells[0]?.x ?? 0;
    return [
      seconds.toFixed(1),
      ...cells.map((cell) =>
        formatFigure(cell === undefined ? null : { median: cell.y, min: cell.y, max: cell.y }),
      ),
    ];
  });
  return {
    plot,
    table: { head: ["seconds", ...series.map(({ label }) => label)], rows },
  };
}

function tableBeside(
  result: BenchResult,
  trial: TrialResult,
  corner: string,
  x: XAxis,
  spreads: readonly (readonly (Spread | null)[])[],
): Table {
  const columns = peersOf(result, trial)
    .map(({ short }, column) => ({ short, column }))
    .filter(({ column }) => spreads.some((cells) => (cells[column] ?? null) !== null));
  const head = [corner, ...columns.map(({ short }) => short)];
  const rows = spreads.map((cells, row) => [
    x.labels?.[row] ?? formatNumber(x.values[row] ?? 0),
    ...columns.map(({ column }) => formatFigure(cells[column] ?? null)),
  ]);
  return { head, rows };
}

/** A plot of a trial, and its table. Null when none of its figures was measured. */
export function plotOf(
  result: BenchResult,
  trial: TrialResult,
  spec: PlotSpec,
): PlotAndTable | null {
  switch (spec.kind) {
    case "line":
      return linePlot(result, trial, spec);
    case "percentiles":
      return percentilesPlot(result, trial, spec);
    case "course":
      return coursePlot(result, trial, spec);
  }
}
