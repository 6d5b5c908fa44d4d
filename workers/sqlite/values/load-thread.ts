import { latestPieces, MAX_SEARCHED_RUNS } from "../../../src/events/shared/latest-pieces.ts";
import { joinPieces, unpackPieces } from "../../../src/events/shared/pieces.ts";
import type { Place } from "../../../src/events/shared/put-back.ts";
import type { StoredThread, StoredValue } from "../../../src/events/shared/thread-values.ts";
import type { ValueReader } from "./read-values.ts";
import type { ValueStatements } from "./statements.ts";
import { placesOf } from "./stored-places.ts";

/** The stored values of a thread, read from the file. A value that cannot be read is left out. */
export function loadThread(
  statements: ValueStatements,
  reader: ValueReader,
  threadId: string,
): StoredThread {
  const latest = new Map<string, StoredValue>();
  for (const [slot, stored] of latestPieces(latestPlaces(statements, threadId))) {
    const pieces = unpackPieces(stored.packed);
    const text = joinPieces(pieces, reader.readSpan);
    if (text !== null) latest.set(slot, { text, pieces, cost: stored.cost });
  }
  return { latest, logEnds: endsOfLogs(statements, threadId, latest.values()) };
}

/** The places of the latest runs of a thread, the last run first. */
function* latestPlaces(statements: ValueStatements, threadId: string): Generator<readonly Place[]> {
  const rows = statements.latestPlaces.iterate(threadId, MAX_SEARCHED_RUNS);
  for (const row of rows) yield placesOf(row);
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
