import type { PurgeThreadsRequest } from "../../../protocol/messages.ts";
import type { PurgeResult } from "../../../protocol/threads.ts";
import { bigintArray, textArray } from "../binary-arrays.ts";
import type { Send } from "../connection.ts";
import type { Statement } from "../statement.ts";
import { fromStored, toStored } from "../stored-ids.ts";
import { isKnown } from "../thread-row.ts";
import { toResourceKey } from "../threads/list-keys.ts";
import { endPurgeLease, holdPurgeLease, takePurgeLease } from "./purge-lease.ts";
import {
  type Counts,
  continueRemoval,
  lockThread,
  markRemoved,
  type RemovalContext,
} from "./remove-thread.ts";
import { shortenThread, sweepThread } from "./shorten-thread.ts";

/** Threads that are read together. */
const PAGE = 100;

/** Milliseconds between two notices of progress. */
const PROGRESS_MS = 100;

export interface PurgeOptions {
  readonly context: RemovalContext;
  readonly request: PurgeThreadsRequest;
  readonly onProgress: (done: PurgeResult) => void;
  /** Ends the purge early, between two transactions. */
  readonly signal: AbortSignal | undefined;
}

interface ListedThread {
  readonly threadId: string;
  /** When a run of the thread began or ended last, in milliseconds since the epoch. */
  readonly updatedAt: number;
}

/** Rows of a page of the list, and where the next page begins. */
interface ListedRow {
  readonly thread_id: string;
  readonly updated_at: number;
  readonly listed_at: number;
}

interface SizeRow {
  readonly thread_id: string;
  readonly runs: number;
  readonly bytes: number;
  readonly value_bytes: number;
}

interface ThreadSize {
  readonly runs: number;
  /** With all values of the thread. */
  readonly bytes: number;
  /** Of the runs alone. */
  readonly runBytes: number;
}

type IsDue = (thread: ListedThread) => boolean;

/**
 * Removes old threads, then the oldest runs of threads that have too many.
 *
 * Threads are removed from the one that was updated the longest ago. A thread with a run is left alone. All
 * work is done in short transactions with pauses. One host purges at a time.
 */
export class Purge {
  readonly #context: RemovalContext;
  readonly #request: PurgeThreadsRequest;
  readonly #onProgress: (done: PurgeResult) => void;
  readonly #signal: AbortSignal | undefined;
  /** What committed transactions have removed. */
  readonly #done: Counts = { threads: 0, runs: 0, bytes: 0 };
  #reportedAt = performance.now();
  /** Whether another host has taken this one for dead, and purges. */
  #hasLostLease = false;

  constructor({ context, request, onProgress, signal }: PurgeOptions) {
    this.#context = context;
    this.#request = request;
    this.#onProgress = onProgress;
    this.#signal = signal;
  }

  /** Resolves with what was removed, or would be. */
  async run(): Promise<PurgeResult> {
    if (this.#request.dryRun) {
      await this.#purgeAll();
      return this.#done;
    }
    const mayWait = () => this.#request.waits && !this.#isEnded;
    if (!(await takePurgeLease(this.#context, mayWait))) return this.#done;
    try {
      await this.#purgeAll();
    } finally {
      await endPurgeLease(this.#context);
    }
    return this.#done;
  }

  get #isEnded(): boolean {
    return this.#hasLostLease || this.#signal?.aborted === true;
  }

  async #purgeAll(): Promise<void> {
    await this.#purgeThreads();
    await this.#shortenThreads();
  }

  /** Removes whole threads: those that are too old, too many, or too large together. */
  async #purgeThreads(): Promise<void> {
    const { maxAgeMs, maxThreads, maxBytes } = this.#request.limits;
    if (maxAgeMs === undefined && maxThreads === undefined && maxBytes === undefined) return;
    const before = maxAgeMs === undefined ? Number.NEGATIVE_INFINITY : Date.now() - maxAgeMs;
    const surplus = maxThreads === undefined ? 0 : (await this.#countThreads()) - maxThreads;
    const surplusBytes = maxBytes === undefined ? 0 : (await this.#countBytes()) - maxBytes;
    const isTooMuch = () => this.#done.threads < surplus || this.#done.bytes < surplusBytes;
    const isDue: IsDue = ({ updatedAt }) => isTooMuch() || updatedAt < before;
    for await (const { threads, newest } of this.#pagesByAge()) {
      const sizes = this.#request.dryRun ? await this.#sizesOf(threads) : null;
      for (const thread of threads) {
        if (this.#isEnded) return;
        if (!isDue(thread)) continue;
        if (sizes === null) await this.#removeThread(thread);
        else if (await this.#isIdle(thread.threadId)) {
          const { runs, bytes } = sizes.get(thread.threadId) ?? NO_SIZE;
          this.#count({ threads: 1, runs, bytes });
        }
      }
      if (!isTooMuch() && newest >= before) return;
    }
  }

  async #removeThread({ threadId, updatedAt }: ListedThread): Promise<void> {
    const { slices } = this.#context;
    let isBegun = false;
    let slice: Counts = { ...NOTHING };
    const afterSlice = () => {
      // It was committed. So the thread is unknown by now.
      if (slice.threads > 0) this.#context.onChanged();
      isBegun ||= slice.threads > 0;
      this.#count(slice);
    };
    await slices.until(
      async (send) => {
        slice = { ...NOTHING };
        const row = await lockThread(this.#context, send, threadId);
        if (!isBegun) {
          // Left alone if it has a run, or had one since it was looked at.
          if (!isKnown(row) || row.claim !== null || row.updatedAt > updatedAt) return true;
          if (await this.#isOutside(send, threadId)) return true;
          this.#hasLostLease = !(await holdPurgeLease(this.#context, send));
          if (this.#hasLostLease) return true;
          await markRemoved(this.#context, send, threadId);
          slice.threads++;
        } else if (row?.unfinished !== "removal") {
          return true;
        }
        return continueRemoval(this.#context, send, threadId, slice);
      },
      { afterSlice, isGentle: true },
    );
  }

  /** Whether a thread was unarchived since it was looked at, and is none of this purge any more. */
  async #isOutside(send: Send, threadId: string): Promise<boolean> {
    if (this.#request.limits.archivedOnly !== true) return false;
    const { statements } = this.#context;
    return (await send(statements.isArchived, [toStored(threadId)])).rowCount === 0;
  }

  async #shortenThreads(): Promise<void> {
    const { maxRunsPerThread, keepLatest = 1 } = this.#request.limits;
    if (maxRunsPerThread === undefined) return;
    const kept = Math.max(maxRunsPerThread, keepLatest);
    for await (const { threads } of this.#pagesByAge()) {
      for (const long of await this.#tooLong(threads, kept)) {
        if (this.#isEnded) return;
        if (!this.#request.dryRun) await this.#shorten(long);
        else if (await this.#isIdle(long.threadId)) {
          const sizes = await this.#sizesOf([long], long.upTo);
          const { runs, runBytes: bytes } = sizes.get(long.threadId) ?? NO_SIZE;
          this.#count({ threads: 0, runs, bytes });
        }
      }
    }
  }

  async #shorten(long: { readonly threadId: string; readonly upTo: number }): Promise<void> {
    const { slices, onRunsChanged } = this.#context;
    let slice: Counts = { ...NOTHING };
    let runs = 0;
    await slices.until(
      async (send) => {
        slice = { ...NOTHING };
        if (await this.#isOutside(send, long.threadId)) return true;
        const isShort = await shortenThread(this.#context, send, long, slice);
        return isShort || this.#isEnded;
      },
      {
        afterSlice: () => {
          runs += slice.runs;
          this.#count(slice);
        },
        isGentle: true,
      },
    );
    if (runs === 0) return;
    await sweepThread(this.#context, long.threadId);
    onRunsChanged(long.threadId);
  }

  async #isIdle(threadId: string): Promise<boolean> {
    const { slices } = this.#context;
    const row = await slices.one((send) => lockThread(this.#context, send, threadId));
    return isKnown(row) && row.claim === null;
  }

  async #countThreads(): Promise<number> {
    const values = [this.#request.limits.archivedOnly === true, this.#resourceKey];
    const { countListed } = this.#context.statements;
    const [row] = await this.#query<{ threads: number }>(countListed, values);
    return row?.threads ?? 0;
  }

  async #countBytes(): Promise<number> {
    let sum = 0;
    for await (const { threads } of this.#pagesByAge()) {
      for (const { bytes } of (await this.#sizesOf(threads)).values()) sum += bytes;
    }
    return sum;
  }

  /** What threads have in runs up to an epoch. */
  async #sizesOf(
    threads: readonly Pick<ListedThread, "threadId">[],
    upTo = Number.MAX_SAFE_INTEGER,
  ): Promise<ReadonlyMap<string, ThreadSize>> {
    const { sizesOf } = this.#context.statements;
    const rows = await this.#query<SizeRow>(sizesOf, [
      textArray(threads.map(({ threadId }) => toStored(threadId))),
      bigintArray(threads.map(() => upTo)),
    ]);
    return new Map(
      rows.map(({ thread_id, runs, bytes, value_bytes }) => [
        fromStored(thread_id),
        { runs, bytes: bytes + value_bytes, runBytes: bytes },
      ]),
    );
  }

  async #tooLong(threads: readonly ListedThread[], kept: number) {
    const ids = textArray(threads.map(({ threadId }) => toStored(threadId)));
    type Row = { readonly thread_id: string; readonly up_to: number };
    const rows = await this.#query<Row>(this.#context.statements.tooLong, [ids, kept]);
    return rows.map(({ thread_id, up_to: upTo }) => ({ threadId: fromStored(thread_id), upTo }));
  }

  /** All threads of the purge, from the one that was updated the longest ago. */
  async *#pagesByAge(): AsyncGenerator<
    { readonly threads: readonly ListedThread[]; readonly newest: number },
    void,
    undefined
  > {
    const { oldestListed, oldestListedOf } = this.#context.statements;
    const isOpen = this.#request.limits.archivedOnly !== true;
    const resource = this.#resourceKey;
    let behind: readonly [number, string] = [Number.MIN_SAFE_INTEGER, ""];
    for (let isLast = false; !isLast && !this.#isEnded; ) {
      const values = [...behind, PAGE, isOpen];
      const rows = await (resource === null
        ? this.#query<ListedRow>(oldestListed, values)
        : this.#query<ListedRow>(oldestListedOf, [...values, resource]));
      const last = rows.at(-1);
      isLast = rows.length < PAGE || last === undefined;
      if (last === undefined) return;
      behind = [last.listed_at, last.thread_id];
      const threads = rows.map(({ thread_id, updated_at: updatedAt }) => ({
        ...{ threadId: fromStored(thread_id), updatedAt },
      }));
      yield { threads, newest: last.listed_at };
    }
  }

  /** Null for all threads. */
  get #resourceKey(): string | null {
    const { scope } = this.#request;
    return scope === "every" ? null : toResourceKey(scope.resourceId);
  }

  #count({ threads, runs, bytes }: PurgeResult): void {
    this.#done.threads += threads;
    this.#done.runs += runs;
    this.#done.bytes += bytes;
    if (performance.now() - this.#reportedAt < PROGRESS_MS) return;
    this.#reportedAt = performance.now();
    this.#onProgress({ ...this.#done });
  }

  async #query<Row>(statement: Statement, values: readonly unknown[]): Promise<Row[]> {
    const { rows } = await this.#context.slices.read((send) => send(statement, values));
    return rows as Row[];
  }
}

const NOTHING: PurgeResult = { threads: 0, runs: 0, bytes: 0 };

const NO_SIZE: ThreadSize = { runs: 0, bytes: 0, runBytes: 0 };
