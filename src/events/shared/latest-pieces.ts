import type { PackedPieces } from "./pieces.ts";
import type { Place } from "./put-back.ts";
import { PART_SLOT } from "./take-out.ts";

/** How many of a thread's latest runs are searched for the latest value of each slot. */
export const MAX_SEARCHED_RUNS = 64;

/** The pieces of the latest value of a slot. */
export interface LatestPieces {
  readonly packed: PackedPieces;
  /** See `StoredValue`. */
  readonly cost: number;
}

/**
 * The pieces of the latest value of each slot. `runs` has the places of the latest runs of a thread, the last run
 * first.
 */
export function latestPieces(runs: Iterable<readonly Place[]>): ReadonlyMap<string, LatestPieces> {
  const found = new Map<string, LatestPieces & { cost: number; isWhole: boolean }>();
  for (const places of runs) {
    for (const [slot, , packed] of places.toReversed()) {
      if (slot === PART_SLOT) continue;
      const latest = found.get(slot) ?? { packed, cost: 0, isWhole: false };
      found.set(slot, latest);
      if (latest.isWhole) continue;
      latest.cost += JSON.stringify(packed).length;
      // A value that is stored whole has a single piece, which is a part of a log: three numbers.
      latest.isWhole = packed.length === 3;
    }
  }
  return found;
}
