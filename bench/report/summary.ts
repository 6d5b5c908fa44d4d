import { FIGURES, type FigureName, formatNumber, labelOf } from "../figures.ts";
import type { BenchResult, PeerInfo, TrialResult } from "../results.ts";
import { compareRounds, type Spread, spread } from "../statistics.ts";
import { valuesOf } from "../verdicts.ts";

/** The peers of a trial: first the known peers, in the order of the result, then the others. */
export function peersOf(result: BenchResult, trial: TrialResult): readonly PeerInfo[] {
  const measured = new Set(trial.samples.map(({ peer }) => peer));
  const known = result.peers.filter(({ name }) => measured.delete(name));
  return [
    ...known,
    ...[...measured].map((name) => ({ name, label: name, short: name, promise: "", kept: "" })),
  ];
}

export function pointsOf(trial: TrialResult): readonly number[] {
  return [...new Set(trial.samples.map(({ x }) => x))].sort((a, b) => a - b);
}

/** A figure over its rounds. Null if it was not measured. */
export function figureOf(
  trial: TrialResult,
  ref: { readonly x: number; readonly peer: string; readonly figure: FigureName },
): Spread | null {
  const values = valuesOf(trial.samples, ref);
  return values.size === 0 ? null : spread([...values.values()]);
}

/** The ratio of a figure to that of the baseline, within each round. */
export function ratioOf(trial: TrialResult, x: number, peer: string): Spread | null {
  const [figure] = trial.show;
  if (trial.baseline === null || figure === undefined) return null;
  const own = valuesOf(trial.samples, { x, peer, figure });
  const other = valuesOf(trial.samples, { x, peer: trial.baseline, figure });
  return compareRounds(own, other, "ratio");
}

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Whether a column holds words, which are left-aligned. */
export function isTextColumn(rows: Table["rows"], column: number): boolean {
  const isWord = (text: string) => /[a-z]{3}/i.test(text);
  return rows.length > 0 && rows.every((row) => isWord(row[column] ?? ""));
}

export const MISSING = "–";

export function formatFigure(value: Spread | null, withSpread = false): string {
  if (value === null) return MISSING;
  const { median, min, max } = value;
  if (!withSpread || min === max) return formatNumber(median);
  return `${formatNumber(median)} (${formatNumber(min)} to ${formatNumber(max)})`;
}

/** The figure by which a runner costs more than no runner. */
const COST: FigureName = "cpuUsPerRun";

/** What a run costs beyond the same run without a runner, within each round. */
export function costOf({ samples }: TrialResult, x: number, peer: string): Spread | null {
  const own = valuesOf(samples, { x, peer, figure: COST });
  return compareRounds(
    own,
    valuesOf(samples, { x, peer: "no-runner", figure: COST }),
    "difference",
  );
}

/** The figures of a trial, a row for each point and peer. */
export function tableOf(
  result: BenchResult,
  trial: TrialResult,
  { spreads = false, all = false, names = "label" as "label" | "short" } = {},
): Table {
  const figures = all
    ? (Object.keys(FIGURES) as FigureName[]).filter((figure) =>
        trial.samples.some(({ figures }) => typeof figures[figure] === "number"),
      )
    : trial.show;
  const [first] = trial.show;
  const rest = figures.filter((figure) => figure !== first);
  const compared = trial.baseline !== null;
  const peers = peersOf(result, trial);
  const hasCost = (figure: FigureName) =>
    figure === COST && trial.samples.some(({ peer }) => peer === "no-runner");
  const rows = pointsOf(trial).flatMap((x) =>
    peers
      .filter(({ name }) => trial.samples.some((sample) => sample.peer === name && sample.x === x))
      .map(({ name, [names]: shown }) => {
        const cell = (figure: FigureName, withSpread: boolean) =>
          formatFigure(figureOf(trial, { x, peer: name, figure }), withSpread);
        const ratio = compared ? ratioOf(trial, x, name) : null;
        return [
          ...(trial.axis === "" ? [] : [formatNumber(x)]),
          shown,
          ...(first === undefined ? [] : [cell(first, true)]),
          ...(compared ? [ratio === null ? MISSING : `${formatFigure(ratio, true)}`] : []),
          ...rest.flatMap((figure) => [
            cell(figure, spreads),
            ...(hasCost(figure) ? [formatFigure(costOf(trial, x, name), spreads)] : []),
          ]),
        ];
      }),
  );
  const baseline = result.peers.find(({ name }) => name === trial.baseline)?.[names];
  const head = [
    ...(trial.axis === "" ? [] : [trial.axis]),
    "",
    ...(first === undefined ? [] : [labelOf(first)]),
    ...(compared ? [`x ${baseline ?? trial.baseline}`] : []),
    ...rest.flatMap((figure) => [
      labelOf(figure),
      ...(hasCost(figure) ? ["beyond no runner, µs"] : []),
    ]),
  ];
  return { head, rows };
}
