import type { Database, Statement } from "better-sqlite3";
import { wordsOfSearch } from "../../../src/runs/search-words.ts";
import { RANGE_OF_ROW, RANGE_ROWS } from "./search-rows.ts";

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

interface RangeRow {
  readonly thread_id: string;
  readonly range: number;
}

/**
 * Tells which threads have a word.
 *
 * SQLite reads all rows of a word for the beginning of a word, and one row after the other for a whole word.
 * That is many times as fast, so a word is looked for as a whole word first.
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
        `SELECT DISTINCT ${RANGE_OF_ROW} FROM thread_search
         WHERE thread_search MATCH ? AND rowid BETWEEN ? AND ?
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
  having(words: readonly WordQueries[], threadIds: readonly string[]): ReadonlySet<string> {
    let threads = new Set(threadIds);
    if (words.length === 0 || threads.size === 0) return threads;
    let rows = this.#rangesOf.all(JSON.stringify(threadIds));
    for (const { whole, beginning } of words) {
      const found = this.#find(whole, rows);
      const rest = rows.filter(({ thread_id }) => !found.has(thread_id));
      for (const threadId of this.#find(beginning, rest)) found.add(threadId);
      threads = found;
      rows = rows.filter(({ thread_id }) => found.has(thread_id));
    }
    return threads;
  }

  #find(query: string, rows: readonly RangeRow[]): Set<string> {
    if (rows.length === 0) return new Set();
    const ranges = rows.map(({ range }) => range);
    let [from, to] = [Number.POSITIVE_INFINITY, 0];
    for (const range of ranges) {
      from = Math.min(from, range * RANGE_ROWS);
      to = Math.max(to, (range + 1) * RANGE_ROWS - 1);
    }
    const found = new Set(this.#rangesWith.all(query, from, to, JSON.stringify(ranges)));
    return new Set(rows.filter(({ range }) => found.has(range)).map(({ thread_id }) => thread_id));
  }
}
