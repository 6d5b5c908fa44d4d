import type { HistoryPageMessage, PageCursor, PageSegment } from "../protocol/messages.ts";

/** UTF-16 units of JSON that a page of a history holds at most, unless one event alone is longer. */
export const PAGE_LENGTH = 64 * 1024;

/** A stored run, as the pages of a history show it. */
export interface HistoryRow {
  /** Ascends with the rows of a thread: see `PageCursor`. */
  readonly id: number;
  readonly runId: string;
  /** JSON arrays of events, each at most a page long: see `chunksOf`. */
  readonly chunks: readonly string[];
}

/** Fills one page with `rows`, those of a thread behind the cursor and up to its last row, in order. */
export function fillPage(
  rows: Iterable<HistoryRow>,
  { chunk: firstChunk, ...cursor }: PageCursor,
): Pick<HistoryPageMessage, "segments" | "next"> {
  const segments: PageSegment[] = [];
  let { afterId } = cursor;
  let length = 0;
  let chunk = firstChunk;
  for (const { id, runId, chunks } of rows) {
    for (; chunk < chunks.length; chunk++) {
      const events = chunks[chunk] ?? "[]";
      if (length > 0 && length + events.length > PAGE_LENGTH) {
        return { segments, next: { ...cursor, afterId, chunk } };
      }
      length += events.length;
      segments.push({ runId, first: chunk === 0, last: chunk === chunks.length - 1, events });
    }
    afterId = id;
    chunk = 0;
  }
  return { segments, next: null };
}
