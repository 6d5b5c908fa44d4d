import { LiveParts, type Part } from "../events/shared/live-parts.ts";
import { unpackPieces } from "../events/shared/pieces.ts";
import { placesOf } from "../events/shared/places.ts";
import type { LogRow, Sweep, SweepRequest } from "../protocol/compactor-messages.ts";

/**
 * The rows in a thread's logs that its runs do not use, or of which they use only parts. Unused text of up to
 * `maxGap` UTF-16 units between used texts is kept.
 */
export function sweepOf({ runs, rows, maxGap }: SweepRequest): Sweep {
  const live = new LiveParts(maxGap ?? undefined);
  for (const run of runs) {
    for (const [, , packed] of placesOf(run)) {
      for (const piece of unpackPieces(packed)) {
        if (typeof piece === "object") live.add(piece);
      }
    }
  }
  return rows.flatMap(({ log, at, length }) => {
    const kept = live.of(log, at, length);
    return isWhole(kept, length) ? [] : [{ log, at, kept }];
  });
}

function isWhole(kept: readonly Part[], length: LogRow["length"]): boolean {
  const [first] = kept;
  return kept.length === 1 && first?.from === 0 && first.to === length;
}
