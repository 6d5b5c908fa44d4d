import { LiveParts, type Part } from "../../../src/events/shared/live-parts.ts";
import { unpackPieces } from "../../../src/events/shared/pieces.ts";
import { expectChange } from "../database/fault.ts";
import { placesOf } from "./read-values.ts";
import type { StoredChunkRow, SweepStatements } from "./statements.ts";

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
  for (const log of statements.logsOfThread.all(threadId)) {
    for (const chunk of statements.chunksToSweep.all(log)) {
      keep(statements, chunk, live.of(log, chunk.at, chunk.length));
    }
  }
  statements.deleteEmptyLogs.run(threadId);
  statements.markLenders.run(threadId);
  statements.endSweep.run(threadId);
}

/** Keeps `parts` of a row of a log, and deletes the rest. */
function keep(statements: SweepStatements, chunk: StoredChunkRow, parts: readonly Part[]): void {
  const { id, log, at, length } = chunk;
  const [first] = parts;
  if (parts.length === 1 && first?.from === 0 && first.to === length) return;
  const text = parts.length === 0 ? "" : (statements.textOfChunk.get(id) ?? "");
  statements.deleteChunk.run(id);
  for (const { from, to } of parts) {
    const kept = statements.insertChunk.run(log, at + from, to - from, text.slice(from, to));
    expectChange(kept, "a value that is in use");
  }
}
