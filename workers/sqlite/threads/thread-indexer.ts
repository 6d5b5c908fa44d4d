import type { Database } from "better-sqlite3";
import type { ValueReader } from "../values/read-values.ts";
import { PreparedChanges } from "./prepared-changes.ts";
import { indexTitle, removeRange } from "./search-rows.ts";
import { type FactsRow, type IndexStatements, prepareIndexStatements } from "./statements.ts";
import { ThreadChanges } from "./thread-changes.ts";

/** Whether the time of a piece of work is used up. */
type IsOver = () => boolean;

/** What to do next: `read` or `write` of `ThreadIndexer`. Null when all is done. */
export type IndexStep = "read" | "write" | null;

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
 * Any instance may do a piece of it. While no other connection writes, many runs are read in several pieces, and
 * then written in one transaction: see `PreparedChanges`. While others write, a few runs are read and written in
 * the same transaction. A read looks at the runs behind the facts itself.
 */
export class ThreadIndexer {
  readonly #statements: IndexStatements;
  readonly #values: ValueReader;
  readonly #prepared: PreparedChanges;
  readonly #forgetIfEmpty: (threadId: string) => void;
  readonly #read: (isOver: IsOver) => IndexStep;

  /** `forgetIfEmpty`: called for a thread of which all runs were deleted. */
  constructor(db: Database, values: ValueReader, forgetIfEmpty: (threadId: string) => void) {
    this.#statements = prepareIndexStatements(db);
    this.#values = values;
    this.#prepared = new PreparedChanges(this.#statements, values);
    this.#forgetIfEmpty = forgetIfEmpty;
    this.#read = db.transaction((isOver: IsOver) => this.#readOn(isOver));
  }

  /** Prepares changes as far as the time goes, in one snapshot of the file. Reads only. Returns what to do next. */
  read(isOver: IsOver): IndexStep {
    return this.#read(isOver);
  }

  #readOn(isOver: IsOver): IndexStep {
    const isCurrent = this.#prepared.isCurrent();
    if (isCurrent && this.#prepared.hasMore) return this.#prepared.add(isOver) ? "write" : "read";
    return this.#isDone() ? null : "write";
  }

  #isDone(): boolean {
    const { droppedRange, staleFacts } = this.#statements;
    if (droppedRange.get() !== undefined || staleFacts.get() !== undefined) return false;
    return this.#prepared.isEmpty && !this.#prepared.hasMore;
  }

  /** Writes as far as the time goes, in a transaction of the caller, who then calls `committed` or `forget`. */
  write(isOver: IsOver): void {
    if (!this.#removeDropped(isOver) || !this.#makeStaleAgain(isOver)) return;
    const isPrepared = this.#prepared.isCurrent() && !this.#prepared.isEmpty;
    if (!isPrepared) this.#prepared.add(isOver);
    if (this.#prepared.isEmpty) return;
    // What was read in this transaction is written at once: the next transaction may have to read it again.
    this.#prepared.write(isPrepared ? isOver : () => false);
  }

  committed(): void {
    this.#prepared.committed();
  }

  /** Forgets what was prepared: it may be of threads that were removed, or of a transaction that failed. */
  forget(): void {
    this.#prepared.forget();
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
    const { thread_id: threadId } = from;
    const changes = new ThreadChanges(from, this.#values);
    do {
      const run = this.#statements.runOfThreadBehind.get(threadId, changes.upTo);
      if (run === undefined) {
        if (changes.upTo !== from.up_to) changes.write(this.#statements);
        this.#statements.endStale.run(threadId);
        if (changes.upTo === 0) this.#forgetIfEmpty(threadId);
        return;
      }
      changes.add(run);
    } while (!isOver());
    changes.write(this.#statements);
  }
}
