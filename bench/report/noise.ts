import type { BenchResult } from "../results.ts";

/** With more foreign load than this, a peer with two threads is slowed more than a peer with one. */
const QUIET_SHARE = 0.1;

/** A sentence that says how reliable the figures are. */
export function noiseOf({ takenByOthers }: BenchResult): { text: string; loud: boolean } {
  const share = `Other processes took ${Math.round(100 * takenByOthers)} % of the processors meanwhile`;
  return takenByOthers <= QUIET_SHARE
    ? { text: `${share}.`, loud: false }
    : {
        text: `${share}: the figures say as much about them. Measure again when it is quiet.`,
        loud: true,
      };
}
