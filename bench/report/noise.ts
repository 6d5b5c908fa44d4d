import type { BenchResult } from "../results.ts";

/** Past this, a peer that uses two threads loses more than one that uses one. */
const QUIET_SHARE = 0.1;

/** How far the figures can be trusted, in a sentence. */
export function noiseOf({ takenByOthers }: BenchResult): { text: string; loud: boolean } {
  const share = `Other processes took ${Math.round(100 * takenByOthers)} % of the processors meanwhile`;
  return takenByOthers <= QUIET_SHARE
    ? { text: `${share}.`, loud: false }
    : {
        text: `${share}: the figures say as much about them. Measure again when it is quiet.`,
        loud: true,
      };
}
