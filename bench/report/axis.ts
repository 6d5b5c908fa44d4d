import { formatNumber } from "../figures.ts";

export interface Tick {
  readonly value: number;
  readonly label: string;
}

/** The positions of values on an axis, as shares of its length from 0 to 1. */
export interface Axis {
  readonly ticks: readonly Tick[];
  place(value: number): number;
}

/** Space at both ends, so that no marker is on the frame. */
const MARGIN = 0.04;
/** Steps between ticks that are easy to read. */
const ROUND_STEPS = [1, 2, 5, 10];
const LINEAR_TICKS = 5;

function ticksAt(values: readonly number[]): Tick[] {
  return values.map((value) => ({ value, label: formatNumber(value) }));
}

/** Each value has the same space, whatever its distance from the next value. */
export function stepsAxis(values: readonly number[], labels?: readonly string[]): Axis {
  const share = (index: number) => (index + 0.5) / values.length;
  return {
    ticks: values.map((value, at) => ({ value, label: labels?.[at] ?? formatNumber(value) })),
    place: (value) => share(values.indexOf(value)),
  };
}

/** From 0, with round ticks, up to the first tick that is above all values. */
export function linearAxis(values: readonly number[]): Axis {
  // An axis is drawn even without values, or with zeros only.
  const max = Math.max(0, ...values) || 1;
  const rough = max / LINEAR_TICKS;
  const decade = 10 ** Math.floor(Math.log10(rough));
  const step = (ROUND_STEPS.find((round) => round * decade >= rough) ?? 10) * decade;
  const count = Math.ceil(max / step - 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, at) => Number((at * step).toPrecision(12)));
  return { ticks: ticksAt(ticks), place: (value) => value / (count * step) };
}

/** Logarithmic, with a tick for each decade, and at 2 and 5 when there are few decades. */
export function logAxis(values: readonly number[], fixedTicks?: readonly number[]): Axis {
  const positive = values.filter((value) => value > 0);
  const min = Math.min(...(positive.length > 0 ? positive : [1]));
  const max = Math.max(...(positive.length > 0 ? positive : [10]));
  const fromDecade = Math.floor(Math.log10(min));
  const toDecade = Math.ceil(Math.log10(max));
  const mantissas = toDecade - fromDecade <= 2 ? [1, 2, 5] : [1];
  const round: number[] = [];
  for (let decade = fromDecade; decade <= toDecade; decade++) {
    for (const mantissa of mantissas) round.push(Number((mantissa * 10 ** decade).toPrecision(3)));
  }
  const low = round.filter((tick) => tick <= min).at(-1) ?? min;
  const high = round.find((tick) => tick >= max) ?? max;
  const ticks = fixedTicks ?? round.filter((tick) => tick >= low && tick <= high);
  const [from, to] = fixedTicks === undefined ? [low, high] : [min, max];
  const length = Math.log(to / from) || 1;
  const margin = fixedTicks === undefined ? 0 : MARGIN;
  const place = (value: number) => {
    // A value of 0, or one too small to be seen, is drawn on the axis.
    const share = Math.log(Math.max(value, from) / from) / length;
    return margin + share * (1 - 2 * margin);
  };
  return { ticks: ticksAt(ticks), place };
}
