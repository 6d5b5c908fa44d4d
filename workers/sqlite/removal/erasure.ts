import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { EraseThreadsRequest } from "../../../src/protocol/messages.ts";
import { isVisible } from "../../../src/protocol/scope.ts";
import type { EraseResult } from "../../../src/protocol/threads.ts";
import { removeWordsOf } from "../threads/search-rows.ts";
import { prepareSweepStatements } from "../values/statements.ts";
import { sweepThread } from "../values/sweep-values.ts";
import { emptyWal, overwriteFreePages, rewriteFile } from "./clean-files.ts";
import { collectNeedles } from "./collect-needles.ts";
import { searchFiles } from "./file-search.ts";
import type { Needles } from "./needles.ts";
import {
  beginRemoval,
  continueRemoval,
  isRunning,
  type RemovalContext,
  threadNotFound,
} from "./remove-thread.ts";
import type { Slices } from "./slices.ts";
import { type EraseStatements, prepareEraseStatements } from "./statements.ts";
import type { Tally } from "./tally.ts";

/** Threads that are read together. */
const PAGE = 100;

/** Pages of the search index that one statement merges. */
const MERGED_PAGES = 32;

/** What was removed and may still be in the files. */
export interface Unproven {
  readonly needles: Needles;
  readonly removed: Tally;
}

export interface ErasureOptions {
  readonly context: RemovalContext;
  readonly slices: Slices;
  readonly request: EraseThreadsRequest;
  /** What earlier calls have erased, and could not show to be gone. */
  readonly unproven: Unproven;
}

/**
 * Removes threads, then every trace of their content from the files: free pages, the WAL, the search index,
 * texts of forks that only they used. Then it has the files searched.
 *
 * Meanwhile SQLite overwrites with zeros what this connection deletes.
 */
export class Erasure {
  readonly #context: RemovalContext;
  readonly #statements: EraseStatements;
  readonly #sweep: ReturnType<typeof prepareSweepStatements>;
  readonly #slices: Slices;
  readonly #request: EraseThreadsRequest;
  readonly #needles: Needles;
  readonly #removed: Tally;

  constructor({ context, slices, request, unproven }: ErasureOptions) {
    this.#context = context;
    this.#statements = prepareEraseStatements(context.db);
    this.#sweep = prepareSweepStatements(context.db);
    this.#slices = slices;
    this.#request = request;
    this.#needles = unproven.needles;
    this.#removed = unproven.removed;
  }

  /** @throws {RunStoreError} `THREAD_NOT_FOUND`, `THREAD_ALREADY_RUNNING`, `ERASE_INCOMPLETE` */
  async run(): Promise<EraseResult> {
    const threads = await this.#threads();
    this.#expectIdle(threads);
    const { db } = this.#context;
    db.pragma("secure_delete = ON");
    try {
      this.#needles.addText(this.#request.target.resourceId ?? null);
      for (const threadId of threads) await this.#removeThread(threadId);
      await this.#forgetOrigins(new Set(threads));
      await this.#mergeSearchIndex();
      const verified = await this.#clean();
      const { threads: count, runs } = this.#removed.read();
      return { threads: count, runs, verified };
    } finally {
      if (db.open) db.pragma("secure_delete = FAST");
    }
  }

  async #threads(): Promise<readonly string[]> {
    const { threadId, resourceId } = this.#request.target;
    if (threadId !== undefined) {
      if (this.#isKnown(threadId)) return [threadId];
      // An earlier call has removed the thread, and its traces may be left.
      if (this.#needles.size > 0) return [];
      throw threadNotFound();
    }
    const found = [...this.#statements.unfinishedOfResource.all(resourceId)];
    let after = "";
    for (;;) {
      const page = await this.#slices.look(() =>
        this.#statements.threadsOfResource.all(resourceId, after, PAGE),
      );
      for (const { thread_id } of page) found.push(thread_id);
      after = page.at(-1)?.thread_id ?? after;
      if (page.length < PAGE) return found;
    }
  }

  #isKnown(threadId: string): boolean {
    const { statements } = this.#context;
    const unfinished = statements.unfinishedThread.get(threadId);
    const owner =
      unfinished === undefined ? statements.resourceOfThread.get(threadId) : unfinished.resource_id;
    return owner !== undefined && isVisible(this.#request.scope, owner);
  }

  /** Nothing is removed when any of the threads has a run. */
  #expectIdle(threads: readonly string[]): void {
    for (const threadId of threads) {
      if (isRunning(this.#context, this.#removalOf(threadId))) {
        throw new RunStoreError("THREAD_ALREADY_RUNNING", "a run holds the thread");
      }
    }
  }

  #removalOf(threadId: string) {
    const { scope, endedClaims, heldThreads } = this.#request;
    const isHeld = heldThreads.includes(threadId);
    return { threadId, scope, endedClaims: isHeld ? 0 : endedClaims };
  }

  async #removeThread(threadId: string): Promise<void> {
    await collectNeedles(this.#statements, this.#slices, threadId, this.#needles);
    let sharers: readonly string[] = [];
    let isBegun = false;
    await this.#slices.until((isOver) => {
      const tally = this.#removed.begin();
      if (!isBegun) {
        sharers = this.#statements.sharers.all({ threadId });
        removeWordsOf(this.#context.statements, threadId);
        beginRemoval(this.#context, this.#removalOf(threadId));
        this.#removeJournals(threadId);
        tally.threads++;
      }
      isBegun = true;
      return continueRemoval(this.#context, threadId, isOver, tally);
    });
    for (const sharer of sharers) {
      await this.#slices.one(() => sweepThread(this.#sweep, sharer, 0));
    }
  }

  #removeJournals(threadId: string): void {
    for (const ids of this.#statements.forgetRetainedJournals.all(threadId)) {
      this.#context.statements.deleteSegments.run(ids);
    }
    this.#statements.emptySegments.run(threadId);
  }

  /** Forks of an erased thread stay, and do not say any more where they come from. */
  async #forgetOrigins(threads: ReadonlySet<string>): Promise<void> {
    let after = "";
    for (;;) {
      const page = await this.#slices.look(() => this.#statements.forksAfter.all(after, PAGE * 10));
      const orphans = page.filter(({ forked_from: json }) => {
        if (json === null) return false;
        const { threadId } = JSON.parse(json) as { readonly threadId: string };
        return threads.has(threadId);
      });
      if (orphans.length > 0) {
        await this.#slices.one(() => {
          for (const { thread_id: fork } of orphans) this.#statements.forgetOrigin.run(fork);
        });
      }
      after = page.at(-1)?.thread_id ?? after;
      if (page.length < PAGE * 10) return;
    }
  }

  /** Words of deleted rows stay in the search index until its parts are merged. */
  async #mergeSearchIndex(): Promise<void> {
    const { db } = this.#context;
    const changes = db.prepare<[], number>("SELECT total_changes()").pluck();
    let pages = -MERGED_PAGES;
    await this.#slices.until((isOver) => {
      do {
        const before = changes.get() ?? 0;
        this.#statements.mergeSearch.run(pages);
        pages = MERGED_PAGES;
        // https://www.sqlite.org/fts5.html#the_merge_command
        if ((changes.get() ?? 0) - before < 2) return true;
      } while (!isOver());
      return false;
    });
  }

  /** Whether nothing is left, as far as the files can be searched. */
  async #clean(): Promise<boolean> {
    const { db, file } = this.#context;
    await overwriteFreePages(db, this.#slices);
    if (file === null) return true;
    await this.#emptyWal();
    const left = await this.#countLeft(file);
    if (left === null || left === 0) return left === 0;
    // Remains are in the middle of pages that are in use: only writing the file anew removes them.
    const isRewritten = rewriteFile(db);
    await this.#emptyWal();
    if (isRewritten && (await this.#countLeft(file)) === 0) return true;
    throw new RunStoreError(
      "ERASE_INCOMPLETE",
      "what was erased may still be in parts of the file: other programs have kept it from being rewritten; call it again",
    );
  }

  async #emptyWal(): Promise<void> {
    if (await emptyWal(this.#context.db)) return;
    throw new RunStoreError(
      "ERASE_INCOMPLETE",
      "what was erased may still be in the WAL: a reader has kept it from being emptied; call it again",
    );
  }

  /** How many needles are left in the files. Null if they cannot be searched. */
  async #countLeft(path: string): Promise<number | null> {
    const result = await searchFiles({ path, needles: [...this.#needles] });
    return result?.left ?? null;
  }
}
