import type { Database } from "better-sqlite3";
import type { ValueReader } from "../values/read-values.ts";
import {
  addWords,
  factsRowOf,
  indexTitle,
  removeTitle,
  removeWords,
  type SearchRows,
} from "./search-rows.ts";
import {
  type FactsRow,
  type IndexStatements,
  prepareIndexStatements,
  type RunRow,
} from "./statements.ts";
import { addRun, NO_FACTS, parseFacts } from "./thread-facts.ts";

/** Pages of words that are merged at most after each piece of work. */
const MERGED_PAGES = 32;

/**
 * Makes what lists and searches need of the runs: `thread_facts` and `thread_search`.
 *
 * It goes through `agent_runs` in the order of the ids, from a checkpoint on. Ids ascend in the order of the
 * commits, so that no run of any instance, nor of version 1, is passed over. Runs of a thread that is unknown
 * are left out: a fork that is completed, and a thread of which runs were deleted or changed, are marked as
 * stale by triggers, and made from their first run on.
 *
 * Any instance may do a piece of it, in a transaction. A read looks at the runs behind the facts itself.
 */
export class ThreadIndexer {
  readonly #statements: IndexStatements;
  readonly #values: ValueReader;
  readonly #forgetIfEmpty: (threadId: string) => void;

  /** `forgetIfEmpty`: called for a thread of which all runs were deleted. */
  constructor(db: Database, values: ValueReader, forgetIfEmpty: (threadId: string) => void) {
    this.#statements = prepareIndexStatements(db);
    this.#values = values;
    this.#forgetIfEmpty = forgetIfEmpty;
  }

  /** Whether there is nothing to do. Reads only. */
  isDone(): boolean {
    const { staleFacts, runBehind, factsCheckpoint } = this.#statements;
    if (staleFacts.get() !== undefined) return false;
    return runBehind.get(factsCheckpoint.get() ?? 0) === undefined;
  }

  /** Goes on as far as the time goes, in a transaction of the caller. Returns whether all is done. */
  goOn(isOver: () => boolean): boolean {
    const isDone = this.#makeStaleAgain(isOver) && this.#addNew(isOver);
    this.#statements.mergeWords.run(MERGED_PAGES);
    return isDone;
  }

  #addNew(isOver: () => boolean): boolean {
    const { factsCheckpoint, setFactsCheckpoint, runBehind } = this.#statements;
    const from = factsCheckpoint.get() ?? 0;
    let upTo = from;
    let isDone = false;
    do {
      const run = runBehind.get(upTo);
      isDone = run === undefined;
      if (run === undefined) break;
      upTo = run.id;
      const { thread_id: threadId } = run;
      if (this.#statements.titleOfThread.get(threadId) === undefined) continue;
      const row = factsRowOf(this.#statements, threadId);
      // The facts of a stale thread are made from its first run on.
      if (row.up_to < run.id && row.stale === 0) this.#add(threadId, row, run);
    } while (!isOver());
    if (upTo !== from) setFactsCheckpoint.run(upTo);
    return isDone;
  }

  /** Makes the facts of threads again whose runs were deleted or changed. */
  #makeStaleAgain(isOver: () => boolean): boolean {
    for (;;) {
      const row = this.#statements.staleFacts.get();
      if (row === undefined) return true;
      const { thread_id: threadId } = row;
      if (threadId === null) this.#remove(row);
      else this.#makeAgain(threadId, row.stale === 1 ? this.#clear(threadId, row) : row, isOver);
      if (isOver()) return false;
    }
  }

  #remove(row: FactsRow): void {
    removeTitle(this.#statements, rowsOf(row));
    removeWords(this.#statements, rowsOf(row));
    this.#statements.deleteFacts.run(row.no);
  }

  #clear(threadId: string, row: FactsRow): FactsRow {
    removeWords(this.#statements, rowsOf(row));
    indexTitle(this.#statements, threadId, this.#statements.titleOfThread.get(threadId) ?? "");
    return { ...row, up_to: 0, facts: null, search_rows: 1, words: "", stale: 2 };
  }

  #makeAgain(threadId: string, from: FactsRow, isOver: () => boolean): void {
    let row = from;
    do {
      const run = this.#statements.runOfThreadBehind.get(threadId, row.up_to);
      if (run === undefined) {
        const isEmpty = row.up_to === 0;
        this.#write({ ...row, stale: 0 });
        if (isEmpty) this.#forgetIfEmpty(threadId);
        return;
      }
      row = this.#add(threadId, row, run);
    } while (!isOver());
  }

  #add(threadId: string, row: FactsRow, run: RunRow): FactsRow {
    const { facts, texts } = addRun(parseFacts(row.facts), run, this.#values);
    const { rows, words } = addWords(this.#statements, rowsOf(row), texts);
    const json = JSON.stringify(facts);
    const next = { ...row, up_to: run.id, facts: json, search_rows: rows, words };
    this.#write(next);
    this.#statements.touchThreadBefore.run(run.created_at, threadId, run.created_at);
    return next;
  }

  #write({ no, up_to, facts, search_rows, words, stale }: FactsRow): void {
    const json = facts ?? JSON.stringify(NO_FACTS);
    this.#statements.updateFacts.run(up_to, json, search_rows, words, stale, no);
  }
}

function rowsOf({ no, search_rows: rows, words }: FactsRow): SearchRows {
  return { no, rows, words };
}
