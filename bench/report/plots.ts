import { CustomChart, LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { formatNumber } from "../figures.ts";
import { colourOf, GRID, TEXT } from "./colours.ts";
import { escapeText } from "./escape.ts";

use([CustomChart, LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

export interface PlotPoint {
  readonly x: number;
  readonly y: number;
  /** The lowest and highest of several rounds. */
  readonly low?: number;
  readonly high?: number;
}

export interface Series {
  /** The peer, whose colour and marker are the same in every plot. */
  readonly name: string;
  readonly label: string;
  /** The number of the marker. */
  readonly shape: number;
  readonly points: readonly PlotPoint[];
}

/** `steps` gives each value the same space. `log` marks the values themselves. */
export interface XAxis {
  readonly scale: "log" | "linear" | "steps";
  readonly values: readonly number[];
  /** Of the values, instead of their numbers. */
  readonly labels?: readonly string[];
}

export interface Plot {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly x: XAxis;
  readonly yScale: "log" | "linear";
  readonly series: readonly Series[];
  /** Whether points have markers. A course of hundreds of points has none. */
  readonly markers: boolean;
}

const WIDTH = 680;
const HEIGHT = 400;
/** Without quotes, which would end the attribute that it is written to. */
const FONT = "system-ui, -apple-system, Helvetica, Arial, sans-serif";
/** Smaller values on a logarithmic axis are drawn as this value: it has no place for 0. */
const LOG_FLOOR = 0.01;
/** A shape for each series, for readers who cannot tell the colours apart. */
const SHAPES = ["circle", "rect", "triangle", "diamond"] as const;
const DASHES: Readonly<Record<string, readonly number[]>> = {
  "durable-normal": [6, 3],
  limit: [2, 3],
  "no-runner": [2, 3],
};

const LABEL = { color: TEXT, fontSize: 13 } as const;

function xAxisOf({ x, xLabel }: Plot) {
  const any = {
    ...{ name: xLabel, nameLocation: "middle", nameGap: 32, splitLine: { show: false } },
  } as const;
  if (x.scale === "steps") {
    const data = x.values.map((value, at) => x.labels?.[at] ?? formatNumber(value));
    return { ...any, type: "category", data, axisLabel: LABEL } as const;
  }
  const axisLabel = { ...LABEL, formatter: formatNumber };
  if (x.scale === "linear") return { ...any, type: "value", axisLabel } as const;
  const marks = { customValues: [...x.values] };
  const positive = x.values.filter((value) => value > 0);
  return {
    ...{ ...any, type: "log", axisTick: marks, axisLabel: { ...axisLabel, ...marks } },
    // Space at both ends, so that no marker is on the frame.
    min: Math.min(...positive) / 1.3,
    max: Math.max(...positive) * 1.3,
  } as const;
}

function seriesOf({ x, yScale, markers }: Plot, { name, label, shape, points }: Series) {
  const place = (value: number) => (x.scale === "steps" ? x.values.indexOf(value) : value);
  const height = (value: number) => (yScale === "log" ? Math.max(LOG_FLOOR, value) : value);
  const color = colourOf(name);
  const plain = { silent: true, emphasis: { disabled: true }, clip: false } as const;
  const line = {
    ...{ ...plain, type: "line", name: label, color, symbolSize: 9, showSymbol: markers },
    symbol: SHAPES[shape % SHAPES.length] ?? "circle",
    lineStyle: { width: name === "durable" ? 3 : 2, type: [...(DASHES[name] ?? [1, 0])] },
    data: points.map(({ x, y }) => [place(x), height(y)]),
  } as const;
  const spreads = points.flatMap(({ x, low, high }) =>
    low !== undefined && high !== undefined && low < high
      ? [[place(x), height(low), height(high)]]
      : [],
  );
  /** From the lowest to the highest round, behind the marker. */
  const bars = {
    ...{ ...plain, type: "custom", data: spreads, z: 1 },
    renderItem: (_: unknown, api: ItemApi) => {
      const [x1, y1] = api.coord([api.value(0), api.value(1)]);
      const [x2, y2] = api.coord([api.value(0), api.value(2)]);
      const style = { stroke: color, lineWidth: 5, opacity: 0.3 };
      return { type: "line", shape: { x1, y1, x2, y2 }, style };
    },
  } as const;
  return spreads.length === 0 ? [line] : [bars, line];
}

/** What of ECharts' argument is used here. */
interface ItemApi {
  value(dimension: number): number;
  coord(at: readonly number[]): readonly number[];
}

/** One plot as an SVG element, for light and dark pages. */
export function drawPlot(plot: Plot): string {
  const drawing = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height: HEIGHT });
  const axis = {
    nameTextStyle: LABEL,
    axisLine: { show: true, lineStyle: { color: TEXT } },
    splitLine: { lineStyle: { color: GRID } },
  };
  drawing.setOption({
    animation: false,
    textStyle: { fontFamily: FONT, fontSize: 13, color: TEXT },
    title: { text: plot.title, left: 84, top: 4, textStyle: { color: TEXT, fontSize: 15 } },
    legend: {
      ...{ left: 84, right: 16, top: 30, itemGap: 26, selectedMode: false },
      textStyle: LABEL,
      data: plot.series.map(({ label }) => label),
    },
    grid: { left: 90, right: 24, top: 106, bottom: 52, outerBoundsMode: "none" },
    xAxis: { ...axis, ...xAxisOf(plot) },
    yAxis: {
      ...axis,
      ...{ type: plot.yScale === "log" ? "log" : "value", name: plot.yLabel },
      ...{
        nameLocation: "middle",
        nameGap: 66,
        nameMoveOverlap: false,
        minorTick: { show: false },
      },
      axisLabel: { ...LABEL, formatter: formatNumber },
    },
    series: plot.series.flatMap((series) => seriesOf(plot, series)),
  });
  const svg = drawing.renderToSVGString();
  drawing.dispose();
  return (
    svg
      .replace("<svg ", `<svg role="img" aria-label="${escapeText(plot.title)}" `)
      // Styles for pointers that hover over a part: this picture does not react.
      .replace(/<style .*<\/style>\s*/s, "")
  );
}
