import type { Database } from "better-sqlite3";
import { parseFacts } from "../../../src/runs/thread-facts.ts";
import type { ValueReader } from "../values/read-values.ts";
import { addWords, factsRowOf, indexTitle, removeRange } from "./search-rows.ts";
import {
  type FactsRow,
  type IndexStatements,
  prepareIndexStatements,
  type RunRow,
} from "./statements.ts";
import { addRow } from "./thread-facts.ts";

/** Whether the time of a piece of work is used up. */
type IsOver = () => boolean;

/** Pages of words that are merged at most in one transaction. */
const MERGED_PAGES = 8;

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
    const { droppedRange, staleFacts, hasRunBehind, factsCheckpoint } = this.#statements;
    if (droppedRange.get() !== undefined || staleFacts.get() !== undefined) return false;
    return hasRunBehind.get(factsCheckpoint.get() ?? 0) === undefined;
  }

  /** Goes on as far as the time goes, in a transaction of the caller. Returns whether all is done. */
  goOn(isOver: IsOver): boolean {
    return this.#removeDropped(isOver) && this.#makeStaleAgain(isOver) && this.#addNew(isOver);
  }

  /** Merges a few pages of words, in a transaction of the caller. Returns whether there were any to merge. */
  merge(): boolean {
    const before = this.#statements.totalChanges.get() ?? 0;
    this.#statements.mergeWords.run(MERGED_PAGES);
    // https://www.sqlite.org/fts5.html#the_merge_command
    return (this.#statements.totalChanges.get() ?? 0) - before >= 2;
  }

  #removeDropped(isOver: IsOver): boolean {
    for (;;) {
      const range = this.#statements.droppedRange.get();
      if (range === undefined) return true;
      removeRange(this.#statements, range);
      if (isOver()) return false;
    }
  }

  /** Makes the facts of threads again whose runs were deleted or changed. */
  #makeStaleAgain(isOver: IsOver): boolean {
    const { staleFacts, dropRanges, clearFacts, titleOfThread, factsOfThread } = this.#statements;
    for (;;) {
      let row = staleFacts.get();
      if (row === undefined) return true;
      const { thread_id: threadId } = row;
      if (row.stale === 1) {
        dropRanges.run(threadId);
        clearFacts.run(threadId);
        indexTitle(this.#statements, threadId, titleOfThread.get(threadId) ?? null);
        row = factsOfThread.get(threadId);
      }
      if (row !== undefined) this.#makeAgain(row, isOver);
      if (isOver()) return false;
    }
  }

  #makeAgain(from: FactsRow, isOver: IsOver): void {
    let row = from;
    const { thread_id: threadId } = from;
    do {
      const run = this.#statements.runOfThreadBehind.get(threadId, row.up_to);
      if (run === undefined) {
        this.#statements.endStale.run(threadId);
        if (row.up_to === 0) this.#forgetIfEmpty(threadId);
        return;
      }
      row = this.#add(row, run);
    } while (!isOver());
  }

  #addNew(isOver: IsOver): boolean {
    const { factsCheckpoint, setFactsCheckpoint, runBehind, titleOfThread } = this.#statements;
    const from = factsCheckpoint.get() ?? 0;
    let upTo = from;
    let isDone = false;
    do {
      const run = runBehind.get(upTo);
      isDone = run === undefined;
      if (run === undefined) break;
      upTo = run.id;
      if (titleOfThread.get(run.thread_id) === undefined) continue;
      const row = factsRowOf(this.#statements, run.thread_id);
      // The facts of a stale thread are made from its first run on.
      if (row.up_to < run.id && row.stale === 0) this.#add(row, run);
    } while (!isOver());
    if (upTo !== from) setFactsCheckpoint.run(upTo);
    return isDone;
  }

  #add(row: FactsRow, run: RunRow): FactsRow {
    const { thread_id: threadId } = row;
    const { facts, texts } = addRow(parseFacts(row.facts), run, this.#values);
    const place = addWords(this.#statements, threadId, row, texts);
    const json = JSON.stringify(facts);
    const { range, range_rows, words } = place;
    this.#statements.updateFacts.run(run.id, json, range, range_rows, words, threadId);
    this.#statements.touchThreadBefore.run(run.created_at, threadId, run.created_at);
    const { agent_id: agentId } = run;
    if (agentId !== null) this.#statements.setAgent.run(agentId, threadId, agentId);
    return { ...row, ...place, up_to: run.id, facts: json };
  }
}
