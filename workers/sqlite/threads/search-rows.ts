import { wordsOf } from "./search-words.ts";
import type { FactsRow, SearchRowStatements } from "./statements.ts";

/** Rows of `thread_search` that a thread has at most. */
const ROWS_OF_THREAD = 2 ** 20;

/** Words of a row, from which on the next words of the thread go into another row. */
const FULL_ROW = 256;

/** The id of a row of `thread_search`. The SQL of a search divides it by `ROWS_OF_THREAD` again. */
function rowId(no: number, row: number): number {
  return no * ROWS_OF_THREAD + Math.min(row, ROWS_OF_THREAD - 1);
}

/** SQL: the number in `thread_facts` of the thread to which a row of `thread_search` belongs. */
export const THREAD_OF_SEARCH_ROW = `thread_search.rowid / ${ROWS_OF_THREAD}`;

/** The row of a thread in `thread_facts`. It is made if it is missing. */
export function factsRowOf(statements: SearchRowStatements, threadId: string): FactsRow {
  const row = statements.factsOfThread.get(threadId) ?? statements.insertFacts.get(threadId);
  if (row === undefined) throw new Error("the facts of a thread could not be inserted");
  return row;
}

/** Makes the words of a title that was set found. */
export function indexTitle(statements: SearchRowStatements, threadId: string, title: string): void {
  const { no } = factsRowOf(statements, threadId);
  replaceRow(statements, rowId(no, 0), wordsOf(title));
}

/** The rows of a thread, and the words in the last of them. */
export interface SearchRows {
  readonly no: number;
  readonly rows: number;
  readonly words: string;
}

/**
 * Makes more words of a thread found. The last row takes them, until it is full: a thread has few rows, and
 * a search has few rows to look at.
 */
export function addWords(
  statements: SearchRowStatements,
  { no, rows, words }: SearchRows,
  texts: readonly string[],
): SearchRows {
  const all = new Set(words === "" ? [] : words.split(" "));
  const before = all.size;
  for (const text of texts) for (const word of wordsOf(text)) all.add(word);
  if (all.size === before) return { no, rows, words };
  const isNew = before === 0;
  const last = isNew ? rows : rows - 1;
  replaceRow(statements, rowId(no, last), all);
  const isFull = all.size >= FULL_ROW;
  return { no, rows: last + 1, words: isFull ? "" : [...all].join(" ") };
}

/** Makes nothing of a thread found any more, but for its title. */
export function removeWords(statements: SearchRowStatements, { no, rows }: SearchRows): void {
  for (let row = 1; row < rows; row++) statements.deleteSearchRow.run(rowId(no, row));
}

export function removeTitle(statements: SearchRowStatements, { no }: SearchRows): void {
  statements.deleteSearchRow.run(rowId(no, 0));
}

function replaceRow(statements: SearchRowStatements, id: number, words: Set<string>): void {
  statements.deleteSearchRow.run(id);
  if (words.size > 0) statements.insertSearchRow.run(id, [...words].join(" "));
}
