import { RunStoreError } from "../../protocol/errors.ts";
import type { Holders, HoldersQuery } from "../../protocol/holders.ts";
import type { Scope } from "../../protocol/scope.ts";
import type { MetadataField, StoredThread } from "../../protocol/thread-messages.ts";
import type {
  EraseRequest,
  EraseResult,
  ForkRequest,
  PurgeRequest,
  PurgeResult,
  RunPage,
  RunQuery,
  ThreadChange,
  ThreadPage,
  ThreadQuery,
  ThreadStore,
  ThreadSummary,
} from "../thread-store.ts";
import type { Backend, ThreadReads } from "./backend.ts";
import type { Batcher } from "./batcher.ts";
import { runCursor, runRowOf, threadCursor, threadPlaceOf } from "./thread-cursors.ts";
import type { ThreadRemovals } from "./thread-removals.ts";
import type { UnstoredRuns } from "./unstored-runs.ts";

/** Threads or runs a page. */
const DEFAULT_LIMIT = 50;
/** Held threads that are told at once. */
const DEFAULT_HELD_LIMIT = 500;

export interface QueuedThreadsOptions {
  readonly backend: Pick<Backend, "durability">;
  readonly reads: ThreadReads;
  readonly batcher: Batcher;
  readonly unstored: UnstoredRuns;
  readonly removals: ThreadRemovals;
}

/**
 * The threads of a queued store. Changes go through the batches, like the runs: a thread can be changed as
 * soon as its first run has begun.
 */
export class QueuedThreads implements ThreadStore {
  readonly #options: QueuedThreadsOptions;

  constructor(options: QueuedThreadsOptions) {
    this.#options = options;
  }

  async list(
    { limit, cursor, metadata, agentId, search, archived, order }: ThreadQuery,
    scope: Scope,
  ): Promise<ThreadPage> {
    const query = { agentId, search, archived, order };
    const asked = { query, metadata: fieldsOf(metadata ?? {}), scope };
    const isFirst = cursor === undefined || cursor === null;
    const after = isFirst ? null : threadPlaceOf(cursor, asked);
    const request = { ...asked, after, limit: limit ?? DEFAULT_LIMIT };
    const { threads, next } = await this.#options.reads.list(request);
    return {
      threads: threads.map((thread) => this.#summaryOf(thread)),
      nextCursor: next === null ? null : threadCursor(next, asked),
    };
  }

  async get(threadId: string, scope: Scope): Promise<ThreadSummary | null> {
    const { thread } = await this.#options.reads.get({ threadId, scope });
    return thread === null ? null : this.#summaryOf(thread);
  }

  async runs(threadId: string, { limit, cursor }: RunQuery, scope: Scope): Promise<RunPage> {
    const after = typeof cursor === "string" ? runRowOf(cursor, threadId) : null;
    const request = { threadId, scope, after, limit: limit ?? DEFAULT_LIMIT };
    const { runs, next } = await this.#options.reads.runs(request);
    return { runs, nextCursor: next === null ? null : runCursor(next, threadId) };
  }

  holders({ threadId, limit }: HoldersQuery, scope: Scope): Promise<Holders> {
    const asked = { threadId: threadId ?? null, limit: limit ?? DEFAULT_HELD_LIMIT, scope };
    return this.#options.reads.holders(asked);
  }

  async update(threadId: string, change: ThreadChange, scope: Scope): Promise<void> {
    const { batcher, backend } = this.#options;
    const { metadata, ...rest } = change;
    const json = metadata === undefined ? {} : { metadata: JSON.stringify(metadata) };
    const op = { kind: "updateThread", threadId, change: { ...rest, ...json }, scope } as const;
    const result = await batcher.enqueue(op);
    if (!result.ok) throw RunStoreError.from(result.fault);
    await backend.durability?.sync(() => undefined);
  }

  endRun(threadId: string, scope: Scope): Promise<void> {
    return this.#options.removals.endRun(threadId, scope);
  }

  delete(threadId: string, scope: Scope): Promise<void> {
    return this.#options.removals.delete(threadId, scope);
  }

  fork(request: ForkRequest, scope: Scope): Promise<void> {
    return this.#options.removals.fork(request, scope);
  }

  purge(request: PurgeRequest): Promise<PurgeResult> {
    return this.#options.removals.purge(request);
  }

  erase(request: EraseRequest, scope: Scope): Promise<EraseResult> {
    return this.#options.removals.erase(request, scope);
  }

  #summaryOf({ live, ...thread }: StoredThread): ThreadSummary {
    // A run that is known here to have ended may still hold the thread in the database.
    const isRunning = live !== null && !this.#options.unstored.has(thread.id, live);
    return { ...thread, isRunning };
  }
}

function fieldsOf(metadata: NonNullable<ThreadQuery["metadata"]>): MetadataField[] {
  return Object.entries(metadata).map(([key, value]) => [key, JSON.stringify(value)]);
}
