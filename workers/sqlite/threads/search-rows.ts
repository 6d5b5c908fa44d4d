import { wordsOf } from "../../../src/runs/search-words.ts";
import type { FactsRow, SearchRowStatements } from "./statements.ts";

/*
 * The rows of `thread_search`. A range is so many rows, one after the other, which belong to one thread. A
 * thread has as many ranges as it needs. An index of words is small when the ids of its rows are near each
 * other, so that ranges are short.
 */

export const RANGE_ROWS = 16;

/** SQL: the range to which a row of `thread_search` belongs. */
export const RANGE_OF_ROW = `rowid / ${RANGE_ROWS}`;

/** Words of a thread that are remembered. Other words may get into several of its rows. */
const MAX_KNOWN_WORDS = 100;

/** Where the words of a thread are: the columns of `thread_facts`. */
export type SearchPlace = Pick<FactsRow, "range" | "range_rows" | "words">;

/**
 * Adds the words of a text to `added`. Words that are in the rows of the thread already are left out: most words
 * of a talk come again and again, and a search has fewer rows to look at.
 */
export function newWords(text: string, known: ReadonlySet<string>, added: Set<string>): void {
  for (const word of wordsOf(text)) if (!known.has(word)) added.add(word);
}

/** Makes more words of a thread found. `known` are the words of `place`. */
export function addWords(
  statements: SearchRowStatements,
  place: SearchPlace & Pick<FactsRow, "thread_id">,
  known: ReadonlySet<string>,
  added: ReadonlySet<string>,
): SearchPlace {
  if (added.size === 0) return place;
  let { range, range_rows } = place;
  if (range === null || range_rows === RANGE_ROWS) {
    range = newRange(statements, place.thread_id);
    range_rows = 0;
  }
  statements.insertSearchRow.run(range * RANGE_ROWS + range_rows, [...added].join(" "));
  const words = [...known, ...added].slice(-MAX_KNOWN_WORDS).join(" ");
  return { range, range_rows: range_rows + 1, words };
}

/** Makes the words of a title found that was set. Null for no title. */
export function indexTitle(
  statements: SearchRowStatements,
  threadId: string,
  title: string | null,
): void {
  const { title_range: before } = factsRowOf(statements, threadId);
  const words = wordsOf(title ?? "");
  if (before === null && words.size === 0) return;
  const range = before ?? newRange(statements, threadId);
  if (before === null) statements.setTitleRange.run(range, threadId);
  const row = range * RANGE_ROWS;
  statements.deleteSearchRow.run(row);
  if (words.size > 0) statements.insertSearchRow.run(row, [...words].join(" "));
}

/** Removes the words of a range that belongs to no thread any more. */
export function removeRange(statements: SearchRowStatements, range: number): void {
  for (let row = 0; row < RANGE_ROWS; row++) {
    statements.deleteSearchRow.run(range * RANGE_ROWS + row);
  }
  statements.deleteRange.run(range);
}

/** Removes the words of a thread at once, and those that wait for their removal. */
export function removeWordsOf(statements: SearchRowStatements, threadId: string): void {
  for (const range of statements.rangesToRemove.all(threadId)) removeRange(statements, range);
}

/** The row of a thread in `thread_facts`. It is made if it is missing. */
export function factsRowOf(statements: SearchRowStatements, threadId: string): FactsRow {
  const row = statements.factsOfThread.get(threadId) ?? statements.insertFacts.get(threadId);
  if (row === undefined) throw new Error("the facts of a thread could not be inserted");
  return row;
}

function newRange(statements: SearchRowStatements, threadId: string): number {
  const range = statements.insertRange.get(threadId);
  if (range === undefined) throw new Error("a range of words could not be inserted");
  return range;
}
