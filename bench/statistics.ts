/** A figure over several rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/**
 * The median. For an even number of values, the mean of the two middle values. Throws for an empty
 * list.
 */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (upper === undefined || lower === undefined) throw new RangeError("no values");
  return (lower + upper) / 2;
}

/**
 * The smallest value that is at least as large as the part `share` (0 to 1) of all values. Throws for
 * an empty list.
 */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (value === undefined) throw new RangeError("no values");
  return value;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/**
 * Compares values of the same round. They were measured one after another, so a slow phase of the
 * machine affects both. Rounds that only one of the two has are left out.
 */
export function compareRounds(
  ours: ReadonlyMap<number, number>,
  theirs: ReadonlyMap<number, number>,
  how: "ratio" | "difference",
): Spread | null {
  const compared: number[] = [];
  for (const [round, our] of ours) {
    const their = theirs.get(round);
    if (their === undefined) continue;
    compared.push(how === "ratio" ? our / their : our - their);
  }
  return compared.length === 0 ? null : spread(compared);
}
