import { LiveParts } from "../../../src/events/shared/live-parts.ts";
import { unpackPieces } from "../../../src/events/shared/pieces.ts";
import type { Chunk } from "../../../src/events/shared/thread-values.ts";
import { unpackText } from "./packed-text.ts";
import type { StoredChunkRow, SweepStatements } from "./statements.ts";
import { storeChunks } from "./store-chunks.ts";
import { placesOf } from "./stored-places.ts";

/**
 * Deletes the texts in the logs of a thread that no stored run uses any more, neither of the thread nor of
 * its forks. Must be one transaction: a run that is stored in between could use a text that is about to be
 * deleted. Unused text of up to `maxGap` UTF-16 units between used texts is kept.
 */
export function sweepThread(statements: SweepStatements, threadId: string, maxGap?: number): void {
  const live = new LiveParts(maxGap);
  for (const user of [threadId, ...statements.borrowersOfThread.all(threadId)]) {
    for (const row of statements.placesOfThread.iterate(user)) {
      for (const [, , packed] of placesOf(row)) {
        for (const piece of unpackPieces(packed)) {
          if (typeof piece === "object") live.add(piece);
        }
      }
    }
  }
  const rows = statements.chunksToSweep.all(threadId);
  for (const [holder, chunks] of Map.groupBy(rows, (row) => row.holder)) {
    keep(statements, holder, chunks, live);
  }
  statements.deleteEmptyLogs.run(threadId);
  statements.markLenders.run(threadId);
  statements.endSweep.run(threadId);
}

/** Keeps the used parts of rows whose texts one row holds, and deletes the rest. */
function keep(
  statements: SweepStatements,
  holder: number,
  chunks: readonly StoredChunkRow[],
  live: LiveParts,
): void {
  const parts = chunks.map(({ log, at, length }) => live.of(log, at, length));
  const isWhole = parts.every(([first, ...others], index) => {
    return others.length === 0 && first?.from === 0 && first.to === chunks[index]?.length;
  });
  if (isWhole) return;
  // Runs that use a text that cannot be read are unreadable with it or without it.
  const text = parts.some(({ length }) => length > 0)
    ? unpackText(statements.textOfHolder.get(holder))
    : null;
  for (const { id } of chunks) statements.deleteChunk.run(id);
  if (text === null) return;
  const kept: Chunk[] = chunks.flatMap(({ log, at, skip }, index) =>
    (parts[index] ?? []).map(({ from, to }) => {
      return { log, at: at + from, text: text.slice(skip + from, skip + to) };
    }),
  );
  storeChunks(statements, kept);
}
