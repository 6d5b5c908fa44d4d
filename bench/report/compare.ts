import { FIGURES, type FigureName, formatNumber, labelOf } from "../figures.ts";
import type { BenchResult, TrialResult } from "../results.ts";
import type { Spread } from "../statistics.ts";
import { figureOf, MISSING, peersOf, pointsOf, type Table } from "./summary.ts";

export interface TrialComparison {
  readonly trial: TrialResult;
  readonly table: Table;
}

/**
 * Each shown figure beside the same figure of an earlier result. The noise is half of what lies between the
 * lowest and the highest round, as a share of the median.
 */
export function compareResults(
  result: BenchResult,
  earlier: BenchResult,
): readonly TrialComparison[] {
  return result.trials.flatMap((trial) => {
    const before = earlier.trials.find(({ name }) => name === trial.name);
    if (before === undefined) return [];
    const rows = pointsOf(trial).flatMap((x) =>
      peersOf(result, trial).flatMap(({ name: peer, short }) =>
        trial.show.flatMap((figure) => {
          const was = figureOf(before, { x, peer, figure });
          const is = figureOf(trial, { x, peer, figure });
          if (was === null || is === null) return [];
          return [[formatNumber(x), short, labelOf(figure), ...cellsOf(figure, was, is)]];
        }),
      ),
    );
    const axis = trial.axis === "" ? "x" : trial.axis;
    const head = [axis, "", "", "earlier", "noise", "this run", "noise", "ratio", "change"];
    return rows.length === 0 ? [] : [{ trial, table: { head, rows } }];
  });
}

function cellsOf(figure: FigureName, was: Spread, is: Spread): readonly string[] {
  const ratio = was.median === 0 ? MISSING : `${formatNumber(is.median / was.median)}x`;
  return [
    ...[formatNumber(was.median), noiseOf(was)],
    ...[formatNumber(is.median), noiseOf(is), ratio, changeOf(figure, was, is)],
  ];
}

function noiseOf({ median, min, max }: Spread): string {
  if (min === max || median === 0) return MISSING;
  return `±${Math.round((50 * (max - min)) / median)} %`;
}

/**
 * A difference is one only if no round of one result lies between the rounds of the other. Without a spread,
 * as after a single round, nothing can be said.
 */
function changeOf(figure: FigureName, was: Spread, is: Spread): string {
  if (was.min === was.max || is.min === is.max) return "unknown";
  if (is.min <= was.max && was.min <= is.max) return "noise";
  return is.median > was.median === (FIGURES[figure].better === "more") ? "better" : "worse";
}
