import { setTimeout as delay } from "node:timers/promises";
import type { PurgeThreadsRequest } from "../../../src/protocol/messages.ts";
import type { PurgeResult } from "../../../src/protocol/threads.ts";
import {
  type PurgeStatements,
  type PurgeThreadRow,
  preparePurgeStatements,
} from "./purge-statements.ts";
import { continueRemoval, markRemoved, type RemovalContext } from "./remove-thread.ts";
import { prepareShortening, type ShorteningContext, ThreadShortening } from "./shorten-thread.ts";
import type { Slices } from "./slices.ts";
import { giveSpaceBack } from "./space.ts";
import { Tally } from "./tally.ts";

/** Threads that are read together. */
const PAGE = 100;

/** Rows of a thread whose sizes are read together. */
const ROWS = 256;

/** Milliseconds between two looks whether another instance still purges. */
const WAIT_MS = 100;

/** Milliseconds between two notices of progress. */
const PROGRESS_MS = 100;

export interface PurgeOptions {
  readonly context: RemovalContext;
  readonly slices: Slices;
  readonly request: PurgeThreadsRequest;
  readonly onProgress: (done: PurgeResult) => void;
}

type IsDue = (thread: PurgeThreadRow) => boolean;

/**
 * Removes old threads, then the oldest runs of threads that have too many, then gives the space back.
 *
 * Threads are removed from the one that was updated the longest ago. A thread with a run is left alone. All
 * work is done in slices: see `Slices`.
 */
export class Purge {
  readonly #context: RemovalContext;
  readonly #statements: PurgeStatements;
  readonly #shortening: ShorteningContext;
  readonly #slices: Slices;
  readonly #request: PurgeThreadsRequest;
  readonly #onProgress: (done: PurgeResult) => void;
  readonly #done = new Tally();
  #reportedAt = performance.now();
  #isEnded = false;

  constructor({ context, slices, request, onProgress }: PurgeOptions) {
    this.#context = context;
    this.#statements = preparePurgeStatements(context.db);
    this.#shortening = prepareShortening(context);
    this.#slices = slices;
    this.#request = request;
    this.#onProgress = onProgress;
  }

  /** Ends the purge after its slice. */
  end(): void {
    this.#isEnded = true;
  }

  /** Resolves with what was removed, or would be. */
  async run(): Promise<PurgeResult> {
    if (this.#request.dryRun) {
      await this.#purgeAll();
      return this.#done.read();
    }
    if (!(await this.#takeLease())) return this.#done.read();
    try {
      await this.#purgeAll();
      if (this.#done.read().runs > 0) {
        await giveSpaceBack(this.#context.db, this.#slices, () => this.#isEnded);
      }
    } finally {
      const { instanceId } = this.#context.config;
      // A lease that is left here ends with the instance.
      const endLease = () => this.#statements.endPurgeLease.run(instanceId);
      await this.#slices.one(endLease).catch(() => undefined);
    }
    return this.#done.read();
  }

  async #purgeAll(): Promise<void> {
    await this.#slices.writeTouches();
    await this.#purgeThreads();
    await this.#shortenThreads();
  }

  /** False if another live instance purges, and this purge does not wait for it. */
  async #takeLease(): Promise<boolean> {
    const { config, statements, liveness } = this.#context;
    const take = () => {
      const holder = this.#statements.purgeLease.get();
      const row = holder === undefined ? undefined : statements.instance.get(holder);
      const isOther = row !== undefined && holder !== config.instanceId && liveness.isRowAlive(row);
      if (!isOther) this.#statements.takePurgeLease.run(config.instanceId);
      return !isOther;
    };
    while (!(await this.#slices.one(take))) {
      if (!this.#request.waits || this.#isEnded) return false;
      await delay(WAIT_MS);
    }
    return true;
  }

  /** Removes whole threads: those that are too old, too many, or too large together. */
  async #purgeThreads(): Promise<void> {
    const { maxAgeMs, maxThreads, maxBytes } = this.#request.limits;
    if (maxAgeMs === undefined && maxThreads === undefined && maxBytes === undefined) return;
    const before = maxAgeMs === undefined ? Number.NEGATIVE_INFINITY : Date.now() - maxAgeMs;
    const surplus = maxThreads === undefined ? 0 : this.#countThreads() - maxThreads;
    const surplusBytes = maxBytes === undefined ? 0 : (await this.#countBytes()) - maxBytes;
    const isTooMuch = () => {
      const { threads, bytes } = this.#done.read();
      return threads < surplus || bytes < surplusBytes;
    };
    const isDue: IsDue = (thread) => isTooMuch() || usedAt(thread) < before;
    for await (const page of this.#pagesByAge()) {
      if (this.#request.dryRun) await this.#countThreadsOf(page, isDue);
      else await this.#removeThreads(page, isDue);
      const newest = page.at(-1)?.updated_at ?? before;
      if (!isTooMuch() && newest >= before) return;
    }
  }

  async #removeThreads(threads: readonly PurgeThreadRow[], isDue: IsDue): Promise<void> {
    let at = 0;
    /** The thread whose removal goes on in the next slice. */
    let begun: string | null = null;
    await this.#slices.until(
      (isOver) => {
        const tally = this.#done.begin();
        // Another instance took this one for dead, and has counted anew: what was counted here is wrong.
        const { instanceId } = this.#context.config;
        if (this.#statements.purgeLease.get() !== instanceId) this.#isEnded = true;
        for (; at < threads.length && !this.#isEnded; at++) {
          const thread = threads[at] as PurgeThreadRow;
          const threadId = thread.thread_id;
          if (begun !== threadId) {
            if (!isDue(thread) || !this.#isAsItWas(thread)) continue;
            markRemoved(this.#context, threadId, thread.resource_id);
            tally.threads++;
          }
          begun = threadId;
          if (!continueRemoval(this.#context, threadId, isOver, tally)) return false;
          if (isOver()) {
            at++;
            return false;
          }
        }
        return true;
      },
      () => this.#report(),
    );
  }

  async #countThreadsOf(threads: readonly PurgeThreadRow[], isDue: IsDue): Promise<void> {
    for (const thread of threads) {
      if (!isDue(thread) || !this.#isIdle(thread.thread_id)) continue;
      const size = await this.#sizeOf(thread.thread_id);
      this.#done.add({ threads: 1, ...size });
      this.#report();
    }
  }

  async #shortenThreads(): Promise<void> {
    const { maxRunsPerThread, keepLatest = 1 } = this.#request.limits;
    if (maxRunsPerThread === undefined) return;
    const kept = Math.max(maxRunsPerThread, keepLatest);
    for await (const page of this.#pagesByAge()) {
      for (const { thread_id: threadId } of page) {
        const upTo = await this.#slices.look(() => this.#statements.rowBefore.get(threadId, kept));
        if (upTo === undefined || this.#isEnded) continue;
        if (this.#request.dryRun) {
          if (this.#isIdle(threadId))
            this.#done.add({ threads: 0, ...(await this.#sizeOf(threadId, upTo)) });
          continue;
        }
        const shortening = new ThreadShortening(this.#shortening, threadId, upTo);
        await this.#slices.until(
          (isOver) => {
            const tally = this.#done.begin();
            if (this.#isEnded || !this.#isIdle(threadId)) return true;
            return shortening.goOn(isOver, tally);
          },
          () => this.#report(),
        );
      }
    }
  }

  /** Whether this purge may work on a thread: it has no run, and is archived if it has to be. */
  #isIdle(threadId: string): boolean {
    const thread = this.#statements.thread.get(threadId);
    if (thread === undefined) return false;
    const isOutside = this.#request.limits.archivedOnly === true && thread.archived === 0;
    return !isOutside && this.#statements.isHeld.get(threadId) === undefined;
  }

  /** Whether nobody has used a thread since its page was read: it may be the newest of all by now. */
  #isAsItWas(thread: PurgeThreadRow): boolean {
    const current = this.#statements.thread.get(thread.thread_id);
    const isUnused = current !== undefined && usedAt(current) <= usedAt(thread);
    return isUnused && this.#isIdle(thread.thread_id);
  }

  #countThreads(): number {
    const { scope, limits } = this.#request;
    const isEvery = scope === "every" ? 1 : 0;
    const resourceId = scope === "every" ? null : scope.resourceId;
    const archived = limits.archivedOnly === true ? 1 : 0;
    return this.#statements.countThreads.get(archived, isEvery, resourceId) ?? 0;
  }

  async #countBytes(): Promise<number> {
    let bytes = 0;
    for await (const page of this.#pagesByAge()) {
      for (const { thread_id: threadId } of page) bytes += (await this.#sizeOf(threadId)).bytes;
    }
    return bytes;
  }

  /** The stored runs of a thread up to a row, and their bytes. Without a row, its values count, too. */
  async #sizeOf(
    threadId: string,
    upTo: number | null = null,
  ): Promise<{ readonly runs: number; readonly bytes: number }> {
    let [runs, bytes, last] = [0, 0, 0];
    for (let isLast = false; !isLast; ) {
      const size = await this.#slices.look(() =>
        this.#statements.sizeOfRuns.get(threadId, last, upTo ?? Number.MAX_SAFE_INTEGER, ROWS),
      );
      runs += size?.runs ?? 0;
      bytes += size?.bytes ?? 0;
      last = size?.last ?? last;
      isLast = (size?.runs ?? 0) < ROWS;
    }
    if (upTo !== null) return { runs, bytes };
    const values = await this.#slices.look(() => this.#statements.sizeOfValues.get(threadId));
    return { runs, bytes: bytes + (values ?? 0) };
  }

  /** All threads of the purge, from the one that was used the longest ago. */
  async *#pagesByAge(): AsyncGenerator<readonly PurgeThreadRow[], void, undefined> {
    const { scope, limits } = this.#request;
    const { oldestThreads, oldestThreadsOf } = this.#statements;
    const open = limits.archivedOnly === true ? 0 : 1;
    let [updatedAt, threadId] = [Number.MIN_SAFE_INTEGER, ""];
    for (let isLast = false; !isLast && !this.#isEnded; ) {
      const behind = { open, updatedAt, threadId, limit: PAGE };
      const page = await this.#slices.look(() =>
        scope === "every"
          ? oldestThreads.all(behind)
          : oldestThreadsOf.all({ ...behind, resourceId: scope.resourceId }),
      );
      if (await this.#putInPlace(page)) continue;
      isLast = page.length < PAGE;
      ({ updated_at: updatedAt, thread_id: threadId } = page.at(-1) ?? {
        updated_at: updatedAt,
        thread_id: threadId,
      });
      yield page;
    }
  }

  /**
   * Puts threads in their place that were used later than their row says: any instance may write that some time later.
   * Otherwise a thread that was just used would count as one of the oldest. Returns whether any was moved.
   */
  async #putInPlace(threads: readonly PurgeThreadRow[]): Promise<boolean> {
    const late = threads.filter((thread) => usedAt(thread) > thread.updated_at);
    if (late.length === 0) return false;
    let at = 0;
    let moved = 0;
    await this.#slices.until((isOver) => {
      while (at < late.length) {
        const { thread_id: threadId, updated_at } = late[at++] as PurgeThreadRow;
        moved += this.#context.statements.touchThread.run({ at: updated_at, threadId }).changes;
        if (isOver()) break;
      }
      return at === late.length;
    });
    // A trigger that was added to the file may ignore the writes.
    return moved > 0;
  }

  #report(): void {
    if (performance.now() - this.#reportedAt < PROGRESS_MS) return;
    this.#reportedAt = performance.now();
    this.#onProgress(this.#done.read());
  }
}

function usedAt({ updated_at: updatedAt, state_at: stateAt }: PurgeThreadRow): number {
  return Math.max(updatedAt, stateAt ?? 0);
}
