/**
 * How many of the runs that a replay begins with were printed already.
 *
 * `printed` and `replayed` are ids of runs, in the order of the thread. The replay begins with some of the last
 * stored runs. `expected` is how many of its runs were printed, if no run was stored since the runs were counted. An
 * id may come again, so of several places that fit, the one closest to what is expected is taken.
 */
export function overlapOf(
  printed: readonly string[],
  firstReplayed: string,
  expected: number,
): number {
  let best = 0;
  for (let overlap = 1; overlap <= printed.length; overlap++) {
    if (printed[printed.length - overlap] !== firstReplayed) continue;
    if (best === 0 || Math.abs(overlap - expected) < Math.abs(best - expected)) best = overlap;
  }
  return best;
}
