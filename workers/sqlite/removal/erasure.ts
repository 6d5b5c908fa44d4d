import { createHash } from "node:crypto";
import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { EraseThreadsRequest } from "../../../src/protocol/messages.ts";
import { isVisible } from "../../../src/protocol/scope.ts";
import type { EraseResult } from "../../../src/protocol/threads.ts";
import { removeWordsOf } from "../threads/search-rows.ts";
import { prepareSweepStatements } from "../values/statements.ts";
import { sweepThread } from "../values/sweep-values.ts";
import { mergeSearchIndex } from "./clean-files.ts";
import { collectNeedles } from "./collect-needles.ts";
import {
  type EraseStatements,
  type ErasureTarget,
  prepareEraseStatements,
} from "./erase-statements.ts";
import type { Needles } from "./needles.ts";
import { eraseIncomplete, proveErased, type Remains } from "./prove-erased.ts";
import {
  beginRemoval,
  continueRemoval,
  deleteValues,
  isRunning,
  type RemovalContext,
  threadNotFound,
} from "./remove-thread.ts";
import type { Slices } from "./slices.ts";
import type { Tally } from "./tally.ts";
import { endUnfinishedCopies } from "./unfinished-copies.ts";

/** Threads that are read together. */
const PAGE = 100;

/** What was removed and may still be in the files. */
export interface Unproven extends Remains {
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
  readonly #unproven: Unproven;
  /** What is erased, from when the first thread is removed. */
  #target: ErasureTarget | null = null;

  constructor({ context, slices, request, unproven }: ErasureOptions) {
    this.#context = context;
    this.#statements = prepareEraseStatements(context.db);
    this.#sweep = prepareSweepStatements(context.db);
    this.#slices = slices;
    this.#request = request;
    this.#unproven = unproven;
    this.#needles = unproven.needles;
    this.#removed = unproven.removed;
  }

  /** @throws {RunStoreError} `THREAD_NOT_FOUND`, `THREAD_ALREADY_RUNNING`, `ERASE_INCOMPLETE` */
  async run(): Promise<EraseResult> {
    const threads = await this.#threads();
    await this.#expectIdle(threads);
    const { db } = this.#context;
    db.pragma("secure_delete = ON");
    try {
      for (const threadId of threads) await this.#removeThread(threadId);
      await this.#removeRunsOfGone();
      await this.#endCopies();
      await this.#forgetOrigins(new Set(threads));
      await mergeSearchIndex(db, this.#slices);
      const verified = await proveErased(this.#context, this.#slices, this.#unproven);
      const target = this.#target;
      if (target !== null) await this.#slices.one(() => this.#statements.endErasure.run(target));
      const { threads: count, runs } = this.#removed.read();
      return { threads: count, runs, verified };
    } finally {
      if (db.open) db.pragma("secure_delete = FAST");
    }
  }

  async #threads(): Promise<readonly string[]> {
    const { threadId, resourceId } = this.#request.target;
    if (threadId !== undefined) {
      const owner = this.#statements.unfinishedErasure.get(digestOf(threadId));
      const isBegun = owner !== undefined && this.#mayEraseOf(owner);
      if (isBegun) this.#carryOn({ thread: digestOf(threadId), resource: owner });
      if (this.#isKnown(threadId)) return [threadId];
      // An earlier call has removed the thread, or ended its only run, and its traces may be left.
      if (isBegun) return [];
      throw threadNotFound();
    }
    const target = { thread: "", resource: digestOf(resourceId) };
    if (this.#statements.isErasing.get(target.resource) !== undefined) this.#carryOn(target);
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

  /** Goes on where an earlier call has ended, perhaps in another process: then nothing can be searched for. */
  #carryOn(target: ErasureTarget): void {
    this.#target = target;
    if (this.#needles.size === 0) this.#unproven.isBlind = true;
  }

  /** Whether this call may erase what belongs to a resource, or to nobody. `owner`: see `ErasureTarget`. */
  #mayEraseOf(owner: string | null): boolean {
    const { scope } = this.#request;
    if (scope === "every") return true;
    return owner === (scope.resourceId === null ? null : digestOf(scope.resourceId));
  }

  #isKnown(threadId: string): boolean {
    const { statements } = this.#context;
    const unfinished = statements.unfinishedThread.get(threadId);
    const owner =
      unfinished === undefined ? statements.resourceOfThread.get(threadId) : unfinished.resource_id;
    return owner !== undefined && isVisible(this.#request.scope, owner);
  }

  /**
   * Nothing is removed when any of the threads has a run. The caller ends that run, and calls again. By then
   * what the run has written is deleted, perhaps with the whole thread: the next call has to know of it.
   */
  async #expectIdle(threads: readonly string[]): Promise<void> {
    for (const threadId of threads) {
      if (isRunning(this.#context, this.#removalOf(threadId))) {
        await this.#slices.one(() => {
          const resource = this.#rememberTarget(threadId);
          this.#statements.beginErasure.run({ thread: digestOf(threadId), resource });
        });
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
    const thread = this.#statements.threadToErase.get(threadId);
    // A thread without a row is being removed already: some of its runs are gone.
    if (thread === undefined || thread.runs_removed === 1) this.#unproven.isBlind = true;
    this.#needles.addText(this.#request.target.resourceId ?? null);
    await collectNeedles(this.#statements, this.#slices, threadId, this.#needles);
    let sharers: readonly string[] = [];
    let isBegun = false;
    await this.#slices.until((isOver) => {
      const tally = this.#removed.begin();
      if (!isBegun) {
        sharers = this.#statements.sharers.all({ threadId });
        this.#rememberTarget(threadId);
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

  /**
   * So that another call can go on if this one ends early, even in another process. Returns the digest of the
   * thread's resource.
   */
  #rememberTarget(threadId: string): string | null {
    const { statements } = this.#context;
    const unfinished = statements.unfinishedThread.get(threadId)?.resource_id;
    const resourceId = statements.resourceOfThread.get(threadId) ?? unfinished ?? null;
    const isThread = this.#request.target.threadId !== undefined;
    const resource = resourceId === null ? null : digestOf(resourceId);
    this.#target = { thread: isThread ? digestOf(threadId) : "", resource };
    this.#statements.beginErasure.run(this.#target);
    return resource;
  }

  /**
   * Removes the journals and the stored parts of threads that went with their only run, when an earlier call had that
   * run ended. Journals of ended runs are retained for a while, and parts are deleted with the next heartbeat.
   */
  async #removeRunsOfGone(): Promise<void> {
    const statements = this.#statements;
    const begun = new Set(this.#target === null ? [] : statements.begunThreads.all(this.#target));
    if (begun.size === 0) return;
    for (const threadId of await this.#slices.look(() => statements.threadsWithRemains.all())) {
      if (!begun.has(digestOf(threadId)) || this.#isAnyones(threadId)) continue;
      await collectNeedles(statements, this.#slices, threadId, this.#needles);
      await this.#slices.until((isOver) => {
        // Somebody may have begun a thread of the same id. Its run in flight is not to be erased.
        if (this.#isAnyones(threadId)) return true;
        this.#removeJournals(threadId);
        return deleteValues(this.#context, threadId, isOver);
      });
    }
  }

  /** Whether there is a thread of this id, whoever it belongs to. */
  #isAnyones(threadId: string): boolean {
    const { statements } = this.#context;
    if (statements.unfinishedThread.get(threadId) !== undefined) return true;
    return statements.resourceOfThread.get(threadId) !== undefined;
  }

  #removeJournals(threadId: string): void {
    for (const ids of this.#statements.forgetRetainedJournals.all(threadId)) {
      this.#context.statements.deleteSegments.run(ids);
    }
    this.#statements.emptySegments.run(threadId);
  }

  /** A fork has the resource of the thread that it is made of. */
  async #endCopies(): Promise<void> {
    const { resourceId } = this.#request.target;
    const erased = this.#target;
    if (resourceId === undefined && erased === null) return;
    const isOver = await endUnfinishedCopies({
      context: this.#context,
      slices: this.#slices,
      concerns: (owner) =>
        (owner === null ? null : digestOf(owner)) ===
        (resourceId === undefined ? erased?.resource : digestOf(resourceId)),
      onAbandoned: async (threadId) => {
        if (resourceId === undefined) return;
        await this.#slices.one(() => this.#rememberTarget(threadId));
        await collectNeedles(this.#statements, this.#slices, threadId, this.#needles);
      },
    });
    if (!isOver) throw eraseIncomplete("another process is making a fork");
  }

  /** Forks of an erased thread stay, and do not say any more where they come from. */
  async #forgetOrigins(threads: ReadonlySet<string>): Promise<void> {
    if (threads.size === 0) return;
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
}

/** Names what is erased, without being a part of it. */
function digestOf(id: string): string {
  return createHash("sha256").update(id).digest("hex");
}
