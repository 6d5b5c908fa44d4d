import { joinPieces, type PackedPieces, unpackPieces } from "../../../src/events/shared/pieces.ts";
import type { StoredThread, StoredValue } from "../../../src/events/shared/thread-values.ts";
import type { ValueReader } from "./read-values.ts";
import type { ValueStatements } from "./statements.ts";
import { placesOf } from "./stored-places.ts";

/** How many of a thread's latest runs are searched for the latest value of each slot. */
const MAX_RUNS = 64;

/** The stored values of a thread, read from the file. A value that cannot be read is left out. */
export function loadThread(
  statements: ValueStatements,
  reader: ValueReader,
  threadId: string,
): StoredThread {
  const latest = new Map<string, StoredValue>();
  for (const [slot, stored] of latestPieces(statements, threadId)) {
    const pieces = unpackPieces(stored.packed);
    const text = joinPieces(pieces, reader.readSpan);
    if (text !== null) latest.set(slot, { text, pieces, cost: stored.cost });
  }
  return { latest, logEnds: endsOfLogs(statements, threadId, latest.values()) };
}

/** The pieces of the latest value of a slot. */
interface LatestPieces {
  readonly packed: PackedPieces;
  cost: number;
  /** Whether a value that is stored whole was found. */
  isWhole: boolean;
}

function latestPieces(
  { latestPlaces }: ValueStatements,
  threadId: string,
): ReadonlyMap<string, LatestPieces> {
  const found = new Map<string, LatestPieces>();
  for (const row of latestPlaces.iterate(threadId, MAX_RUNS)) {
    for (const [slot, , packed] of placesOf(row).toReversed()) {
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

function endsOfLogs(
  { endOfLog }: ValueStatements,
  threadId: string,
  values: Iterable<StoredValue>,
): ReadonlyMap<number, number> {
  const ends = new Map<number, number>();
  for (const { pieces } of values) {
    for (const piece of pieces) {
      if (typeof piece === "string" || ends.has(piece.log)) continue;
      const end = endOfLog.get(piece.log, piece.log, threadId);
      if (end !== undefined) ends.set(piece.log, end);
    }
  }
  return ends;
}
