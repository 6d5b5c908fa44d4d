import type { Database, Statement } from "better-sqlite3";
import { wordsOfSearch } from "../../../src/runs/search-words.ts";
import { RANGE_OF_ROW, RANGE_ROWS } from "./search-rows.ts";

/**
 * Ranges between two ranges that one query passes over: reading the rows of so many ranges takes as long as another
 * query does.
 */
const MAX_GAP = 16;

/** What finds a word of a search in the index of words. */
export interface WordQueries {
  readonly whole: string;
  /** Finds the words that begin with it, itself included. */
  readonly beginning: string;
}

/** The queries for each word of a search. Empty if the search has no word. */
export function queriesOf(search: string): WordQueries[] {
  const quoted = wordsOfSearch(search).map((word) => `"${word}"`);
  return quoted.map((whole) => ({ whole, beginning: `${whole}*` }));
}

export interface CountedWord {
  readonly word: WordQueries;
  /** Whether so few rows have it that one query may read them all. */
  readonly isRare: boolean;
}

interface RangeRow {
  readonly thread_id: string;
  readonly range: number;
}

/**
 * Tells which threads have a word.
 *
 * SQLite reads all rows of a word for the beginning of a word. For a whole word it finds the first row of a span, and
 * reads on from there. That is many times as fast, so a word is looked for as a whole word first.
 */
export class WordSearch {
  readonly #countRows: Statement<[string, number], number>;
  readonly #rangesOf: Statement<[string], RangeRow>;
  readonly #rangesWith: Statement<
    [query: string, from: number, to: number, ranges: string],
    number
  >;

  constructor(db: Database) {
    this.#countRows = db
      .prepare<[string, number], number>(
        "SELECT count(*) FROM (SELECT 1 FROM thread_search WHERE thread_search MATCH ? LIMIT ?)",
      )
      .pluck();
    this.#rangesOf = db.prepare(
      "SELECT thread_id, range FROM search_ranges WHERE thread_id IN (SELECT value FROM json_each(?))",
    );
    this.#rangesWith = db
      .prepare<[string, number, number, string], number>(
        // Numbers are bound as floating-point numbers. With these, FTS5 reads all rows from the first one on.
        `SELECT DISTINCT ${RANGE_OF_ROW} FROM thread_search
         WHERE thread_search MATCH ? AND rowid BETWEEN CAST(? AS INTEGER) AND CAST(? AS INTEGER)
           AND ${RANGE_OF_ROW} IN (SELECT value FROM json_each(?))`,
      )
      .pluck();
  }

  /** How many rows have the word, or `atMost`. A thread with the word has one row or more. */
  count({ whole, beginning }: WordQueries, atMost: number): number {
    const count = this.#countRows.get(whole, atMost) ?? 0;
    return count === atMost ? count : (this.#countRows.get(beginning, atMost) ?? 0);
  }

  /** Those of the threads that have all the words. */
  having(words: readonly CountedWord[], threadIds: readonly string[]): ReadonlySet<string> {
    let threads = new Set(threadIds);
    if (words.length === 0 || threads.size === 0) return threads;
    let rows = this.#rangesOf.all(JSON.stringify(threadIds));
    for (const { word, isRare } of words) {
      const found = new Set<string>();
      const find = (query: string, among: readonly RangeRow[], atOnce: boolean) => {
        const left = among.filter(({ thread_id }) => !found.has(thread_id));
        for (const threadId of this.#find(query, left, atOnce)) found.add(threadId);
      };
      // A word that comes again and again in a thread is in its first range.
      const parts = isRare ? [rows] : partsOf(rows);
      for (const part of parts) find(word.whole, part, isRare);
      find(word.beginning, rows, true);
      threads = found;
      rows = rows.filter(({ thread_id }) => found.has(thread_id));
    }
    return threads;
  }

  /**
   * The threads of those rows whose ranges have what is looked for. With `atOnce`, one query reads all between the first
   * range and the last.
   */
  #find(query: string, rows: readonly RangeRow[], atOnce: boolean): Set<string> {
    const spans = spansOf(rows);
    const found = new Set<number>();
    for (const ranges of atOnce ? [spans.flat()] : spans) {
      const [from, to] = [ranges[0], ranges.at(-1)];
      if (from === undefined || to === undefined) continue;
      const last = (to + 1) * RANGE_ROWS - 1;
      const json = JSON.stringify(ranges);
      for (const range of this.#rangesWith.all(query, from * RANGE_ROWS, last, json)) {
        found.add(range);
      }
    }
    return new Set(rows.filter(({ range }) => found.has(range)).map(({ thread_id }) => thread_id));
  }
}

/** The first range of each thread, and the others. */
function partsOf(rows: readonly RangeRow[]): [firsts: RangeRow[], later: RangeRow[]] {
  const firsts = new Map<string, RangeRow>();
  for (const row of rows) {
    const known = firsts.get(row.thread_id);
    if (known === undefined || row.range < known.range) firsts.set(row.thread_id, row);
  }
  return [[...firsts.values()], rows.filter((row) => firsts.get(row.thread_id) !== row)];
}

/** The ranges in their order, in spans of ranges that are near each other. */
function spansOf(rows: readonly RangeRow[]): number[][] {
  const spans: number[][] = [];
  for (const range of rows.map((row) => row.range).sort((a, b) => a - b)) {
    const span = spans.at(-1);
    const last = span?.at(-1);
    if (span !== undefined && last !== undefined && range - last <= MAX_GAP) span.push(range);
    else spans.push([range]);
  }
  return spans;
}
