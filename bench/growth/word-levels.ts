import type { Database } from "better-sqlite3";

/** The row of `thread_search_data` with the structure of the index of words. */
const STRUCTURE = 10;

/** Bytes of a structure before its numbers: a cookie, and the mark of the format with `contentless_delete`. */
const HEAD_BYTES = 8;

/** Numbers of a segment in that format. */
const NUMBERS_OF_SEGMENT = 8;

/** Rows that the indexer writes at once, about. Each time, that is a segment of its own. */
const ROWS_AT_ONCE = 8;

/** Segments of a level that are merged into one of the next level. */
const MERGED = 4;

/**
 * Puts the large segments on the level that they have in a file that grew run by run. FTS5 merges segments by their
 * number, whatever their size. On a lower level, the largest segment would be written again after a few hundred runs.
 *
 * https://www.sqlite.org/fts5.html#the_automerge_configuration_option
 */
export function raiseLargeSegments(db: Database, rows: number): void {
  const level = Math.ceil(Math.log(rows / ROWS_AT_ONCE) / Math.log(MERGED));
  const read = db.prepare<[], Buffer>(
    `SELECT block FROM thread_search_data WHERE id = ${STRUCTURE}`,
  );
  const block = read.pluck().get();
  if (block === undefined) throw new Error("there is no index of words");
  let at = HEAD_BYTES;
  const next = (): number => {
    const { value, end } = varintAt(block, at);
    at = end;
    return value;
  };
  const [levels, segments, writes] = [next(), next(), next()];
  const body = at;
  let last = at;
  for (let index = 0; index < levels; index++) {
    last = at;
    next();
    const numbers = next() * NUMBERS_OF_SEGMENT;
    for (let number = 0; number < numbers; number++) next();
  }
  const added = level + 1 - levels;
  if (added <= 0) return;
  const numbers = [levels + added, segments, writes].map(toVarint);
  // An empty level is two zeros: none of its segments is being merged, and it has none.
  const empty = Buffer.alloc(2 * added);
  const parts = [block.subarray(0, HEAD_BYTES), ...numbers, block.subarray(body, last), empty];
  db.prepare(`UPDATE thread_search_data SET block = ? WHERE id = ${STRUCTURE}`).run(
    Buffer.concat([...parts, block.subarray(last)]),
  );
}

/** https://www.sqlite.org/fileformat.html#varint: here, none has more than eight bytes. */
function varintAt(bytes: Buffer, from: number): { value: number; end: number } {
  let value = 0;
  for (let at = from; ; at++) {
    const byte = bytes.readUInt8(at);
    value = value * 128 + (byte & 127);
    if (byte < 128) return { value, end: at + 1 };
  }
}

function toVarint(number: number): Buffer {
  const bytes = [number & 127];
  for (let left = Math.floor(number / 128); left > 0; left = Math.floor(left / 128)) {
    bytes.unshift(128 | (left & 127));
  }
  return Buffer.from(bytes);
}
