import type { ValueReader } from "../values/read-values.ts";
import type { IndexStatements } from "./statements.ts";
import { NO_ROW, ThreadChanges } from "./thread-changes.ts";

/** Runs whose changes are written together. */
const MAX_RUNS = 64;

/** New words that are written together, unless a single run has more. */
const MAX_WORDS = 4000;

type IsOver = () => boolean;

/**
 * The changes that the runs behind the checkpoint make to their threads. They are made outside of a transaction
 * that writes, and written together later: one transaction for many runs changes fewer pages, and adds one
 * segment to the index of words.
 *
 * What was made is right as long as nothing but new runs is committed meanwhile. `isCurrent` tells whether another
 * connection has written. The caller forgets the changes when its own connection has removed or made threads. A
 * rollback needs no such care: nothing is read here of a transaction that may be rolled back, except by `add`,
 * after whose failure the caller forgets the changes as well.
 *
 * The checkpoint is moved when the changes of all threads are written. Runs that are read again after a crash
 * are passed over: the facts of their threads know them.
 */
export class PreparedChanges {
  readonly #statements: IndexStatements;
  readonly #values: ValueReader;
  readonly #threads = new Map<string, ThreadChanges>();
  /** The threads whose changes were written by a transaction that is perhaps not committed yet. */
  #written: string[] = [];
  /** The checkpoint that this transaction has written, or null. */
  #moved: number | null = null;
  /** `PRAGMA data_version` since which all changes were made. Null when they have to be made anew. */
  #dataVersion: number | null = null;
  /** The checkpoint in the file. */
  #from = 0;
  /** The last row of `agent_runs` that was read. */
  #upTo = 0;
  #runs = 0;
  #words = 0;

  constructor(statements: IndexStatements, values: ValueReader) {
    this.#statements = statements;
    this.#values = values;
  }

  /** Whether there are changes, or the checkpoint has to be moved. */
  get isEmpty(): boolean {
    return this.#upTo === this.#from;
  }

  /** Whether there are runs that were not read. */
  get hasMore(): boolean {
    return this.#statements.hasRunBehind.get(this.#upTo) !== undefined;
  }

  /** Forgets all changes if another connection has written since they were begun. Returns false then. */
  isCurrent(): boolean {
    const dataVersion = this.#statements.dataVersion.get() ?? 0;
    if (dataVersion === this.#dataVersion) return true;
    this.forget();
    this.#dataVersion = dataVersion;
    this.#from = this.#statements.factsCheckpoint.get() ?? 0;
    this.#upTo = this.#from;
    return false;
  }

  forget(): void {
    this.#threads.clear();
    this.#written = [];
    this.#moved = null;
    this.#dataVersion = null;
    this.#from = 0;
    this.#upTo = 0;
    this.#runs = 0;
    this.#words = 0;
  }

  /** Reads more runs, in a transaction of the caller. Returns whether it is time to write. */
  add(isOver: IsOver): boolean {
    while (this.#runs < MAX_RUNS && this.#words < MAX_WORDS) {
      const run = this.#statements.runBehind.get(this.#upTo);
      if (run === undefined) return true;
      this.#upTo = run.id;
      this.#runs++;
      const changes = this.#changesOf(run.thread_id);
      if (changes !== null && changes.upTo < run.id) this.#words += changes.add(run);
      if (isOver()) return false;
    }
    return true;
  }

  /** Null for a thread that is unknown, and for a stale thread: its facts are made from its first run on. */
  #changesOf(threadId: string): ThreadChanges | null {
    const known = this.#threads.get(threadId);
    if (known !== undefined) return known;
    if (this.#statements.titleOfThread.get(threadId) === undefined) return null;
    const row = this.#statements.factsOfThread.get(threadId);
    if (row !== undefined && row.stale !== 0) return null;
    const changes = new ThreadChanges(row ?? { ...NO_ROW, thread_id: threadId }, this.#values);
    this.#threads.set(threadId, changes);
    return changes;
  }

  /** Writes the changes of some threads, in a transaction of the caller. See `committed`. */
  write(isOver: IsOver): void {
    this.#written = [];
    for (const [threadId, changes] of this.#threads) {
      changes.write(this.#statements);
      this.#written.push(threadId);
      if (isOver()) break;
    }
    if (this.#written.length < this.#threads.size) return;
    this.#statements.setFactsCheckpoint.run(this.#upTo);
    this.#moved = this.#upTo;
  }

  /** Called after the commit of a transaction in which `write` may have been called. */
  committed(): void {
    for (const threadId of this.#written) this.#threads.delete(threadId);
    this.#written = [];
    if (this.#moved === null) return;
    this.#from = this.#moved;
    this.#moved = null;
    this.#runs = 0;
    this.#words = 0;
  }
}
