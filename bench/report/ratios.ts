import type { FigureName } from "../figures.ts";
import type { BenchResult } from "../results.ts";
import { compareRounds, type Spread } from "../statistics.ts";
import { valuesOf } from "../verdicts.ts";
import { peersOf, pointsOf } from "./summary.ts";

export interface Ratio extends Spread {
  readonly trial: string;
  readonly x: number;
  readonly peer: string;
  readonly against: string;
  readonly figure: FigureName;
}

/**
 * Every shown figure of a trial with a baseline, as a ratio to it. Unlike the figures themselves, ratios can
 * be compared between machines.
 */
export function ratiosOf(result: BenchResult): readonly Ratio[] {
  return result.trials.flatMap((trial) => {
    const { name, baseline: against, samples } = trial;
    if (against === null) return [];
    return pointsOf(trial).flatMap((x) =>
      peersOf(result, trial).flatMap(({ name: peer }) =>
        trial.show.flatMap((figure) => {
          if (peer === against) return [];
          const own = valuesOf(samples, { x, peer, figure });
          const other = valuesOf(samples, { x, peer: against, figure });
          const ratio = compareRounds(own, other, "ratio");
          return ratio === null ? [] : [{ trial: name, x, peer, against, figure, ...ratio }];
        }),
      ),
    );
  });
}
