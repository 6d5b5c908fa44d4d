import { formatNumber } from "../figures.ts";
import type { Axis } from "./axis.ts";
import { escapeText } from "./escape.ts";

export interface PlotPoint {
  readonly x: number;
  readonly y: number;
  /** The lowest and highest of several rounds. */
  readonly low?: number;
  readonly high?: number;
}

export interface Series {
  /** The element has the class `peer-NAME`. The page sets its colour. */
  readonly name: string;
  readonly label: string;
  /** The number of the marker. A peer has the same marker in every plot. */
  readonly shape: number;
  readonly points: readonly PlotPoint[];
}

export interface Plot {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** Whether points have markers. A course of hundreds of points has none. */
  readonly markers: boolean;
}

const WIDTH = 680;
const HEIGHT = 380;
const LEFT = 66;
const RIGHT = 16;
const BOTTOM = 52;
const LEGEND_LINE = 20;
const LEGEND_TOP = 40;
/** The average width of a character, for a wide font of 13 px. */
const CHARACTER_WIDTH = 7.8;
const LEGEND_MARK = 30;
const LEGEND_GAP = 18;

const fixed = (value: number) => value.toFixed(1);

/** A shape for each series, for readers who cannot tell the colours apart. */
function marker(shape: number, x: number, y: number): string {
  const [cx, cy] = [fixed(x), fixed(y)];
  switch (shape % 4) {
    case 0:
      return `<circle cx="${cx}" cy="${cy}" r="4.5"/>`;
    case 1:
      return `<rect x="${fixed(x - 4)}" y="${fixed(y - 4)}" width="8" height="8"/>`;
    case 2:
      return `<path d="M${cx} ${fixed(y - 5.5)}l5 9h-10z"/>`;
    default:
      return `<path d="M${cx} ${fixed(y - 5.5)}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>`;
  }
}

interface Legend {
  readonly svg: string;
  readonly bottom: number;
}

function legendOf(series: readonly Series[]): Legend {
  let x = LEFT;
  let y = LEGEND_TOP;
  const entries = series.map(({ name, label, shape }) => {
    const width = LEGEND_MARK + label.length * CHARACTER_WIDTH + LEGEND_GAP;
    if (x > LEFT && x + width > WIDTH) {
      x = LEFT;
      y += LEGEND_LINE;
    }
    const entry = `<g class="peer-${name}"><path class="line" d="M${fixed(x)} ${y - 4}h22"/>${marker(shape, x + 11, y - 4)}<text x="${fixed(x + LEGEND_MARK)}" y="${y}">${escapeText(label)}</text></g>`;
    x += width;
    return entry;
  });
  return { svg: `<g class="legend">${entries.join("")}</g>`, bottom: y };
}

/** One plot as an SVG element whose colours are left to the page. */
export function drawPlot(plot: Plot): string {
  const legend = legendOf(plot.series);
  const top = legend.bottom + 16;
  const placeX = (value: number) => LEFT + plot.x.place(value) * (WIDTH - LEFT - RIGHT);
  const bottom = HEIGHT - BOTTOM;
  const placeY = (value: number) => bottom - plot.y.place(value) * (bottom - top);
  const rows = plot.y.ticks.map(({ value, label }) => {
    const y = fixed(placeY(value));
    return `<path class="grid" d="M${LEFT} ${y}H${WIDTH - RIGHT}"/><text class="tick" x="${LEFT - 8}" y="${y}" dy="4" text-anchor="end">${escapeText(label)}</text>`;
  });
  const columns = plot.x.ticks.map(({ value, label }) => {
    const x = fixed(placeX(value));
    return `<path class="axis" d="M${x} ${bottom}v5"/><text class="tick" x="${x}" y="${bottom + 20}" text-anchor="middle">${escapeText(label)}</text>`;
  });
  const series = plot.series.map(({ name, label, shape, points }) => {
    const line = points
      .map(({ x, y }, at) => `${at === 0 ? "M" : "L"}${fixed(placeX(x))} ${fixed(placeY(y))}`)
      .join("");
    const marks = plot.markers
      ? points.map(({ x, y, low, high }) => {
          const at = placeX(x);
          const whisker =
            low !== undefined && high !== undefined && low < high
              ? `<path class="whisker" d="M${fixed(at)} ${fixed(placeY(low))}V${fixed(placeY(high))}"/>`
              : "";
          const tip = `${label}: ${formatNumber(y)}`;
          return `${whisker}<g><title>${escapeText(tip)}</title>${marker(shape, at, placeY(y))}</g>`;
        })
      : [];
    return `<g class="peer-${name}"><path class="line" d="${line}"/>${marks.join("")}</g>`;
  });
  const middle = (top + bottom) / 2;
  return `<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeText(plot.title)}">
<text class="title" x="${LEFT}" y="18">${escapeText(plot.title)}</text>
${legend.svg}
${rows.join("")}
<path class="axis" d="M${LEFT} ${bottom}H${WIDTH - RIGHT}"/>
${columns.join("")}
<text class="label" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escapeText(plot.xLabel)}</text>
<text class="label" transform="translate(14 ${fixed(middle)}) rotate(-90)" text-anchor="middle">${escapeText(plot.yLabel)}</text>
${series.join("\n")}
</svg>`;
}
