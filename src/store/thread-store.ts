import type { Holders, HoldersQuery } from "../protocol/holders.ts";
import type { Scope } from "../protocol/scope.ts";
import type {
  EraseRequest,
  EraseResult,
  ForkRequest,
  PurgeLimits,
  PurgeResult,
  RunPage,
  RunQuery,
  ThreadChange,
  ThreadPage,
  ThreadQuery,
  ThreadSummary,
} from "../protocol/threads.ts";

export type {
  HeldThread,
  Holders,
  HoldersQuery,
  Journal,
  RunnerInstance,
} from "../protocol/holders.ts";
export type {
  EraseRequest,
  EraseResult,
  ForkOrigin,
  ForkRequest,
  PurgeLimits,
  PurgeResult,
  RunDetails,
  RunOutcome,
  RunPage,
  RunQuery,
  RunRef,
  RunSummary,
  ThreadChange,
  ThreadMetadata,
  ThreadOrder,
  ThreadPage,
  ThreadQuery,
  ThreadSummary,
  TokenUsage,
} from "../protocol/threads.ts";

/**
 * The part of a store that lists, changes and removes threads.
 *
 * A thread is known when one of its runs is stored, or when a run holds it. Each method sees only the
 * threads of its `scope`; every other thread is unknown to it. A thread that is unknown is `null`, an empty
 * page, or `THREAD_NOT_FOUND` from a method that would change it.
 *
 * Cursors are opaque texts, and belong to the query that they came from. A thread that is neither changed
 * nor removed between two pages is on exactly one of them.
 */
export interface ThreadStore {
  list(query: ThreadQuery, scope: Scope): Promise<ThreadPage>;

  get(threadId: string, scope: Scope): Promise<ThreadSummary | null>;

  /** The stored runs of a thread, oldest first. */
  runs(threadId: string, query: RunQuery, scope: Scope): Promise<RunPage>;

  /** The instances that have the data open, and the threads of the scope that runs hold. */
  holders(query: HoldersQuery, scope: Scope): Promise<Holders>;

  /** Throws `THREAD_NOT_FOUND`. */
  update(threadId: string, change: ThreadChange, scope: Scope): Promise<void>;

  /**
   * Tells the run of another instance that holds the thread to end, and to keep nothing. Resolves when no
   * run of another instance holds the thread.
   */
  endRun(threadId: string, scope: Scope): Promise<void>;

  /**
   * Removes a thread with all that belongs to it. Throws `THREAD_NOT_FOUND`, and `THREAD_ALREADY_RUNNING`
   * while a live run holds the thread.
   */
  delete(threadId: string, scope: Scope): Promise<void>;

  /**
   * Makes a thread whose history is that of another, up to and with a run. Its runs share what they hold
   * with the runs of the other thread. Removing one of the threads leaves the other whole.
   *
   * Throws `THREAD_NOT_FOUND`, `RUN_NOT_FOUND`, and `THREAD_EXISTS`.
   */
  fork(request: ForkRequest, scope: Scope): Promise<void>;

  /** Removes old runs and threads, in slices. Leaves alone each thread that a live run holds. */
  purge(request: PurgeRequest): Promise<PurgeResult>;

  /**
   * Removes threads so that nothing of their content is in the files of the database any more, not even in
   * parts of the files that are free, as far as the store reaches the files. Throws `THREAD_ALREADY_RUNNING`, and `ERASE_INCOMPLETE` when the
   * content may still be there.
   */
  erase(request: EraseRequest, scope: Scope): Promise<EraseResult>;
}

export interface PurgeRequest extends PurgeLimits {
  /** Whether to count only. */
  readonly dryRun?: boolean | undefined;
  /** Only threads of this scope. */
  readonly scope: Scope;
  /** While another store on the data purges: whether nothing is removed. Default: it is waited for. */
  readonly skipIfPurging?: boolean | undefined;
  /** Called from time to time, and once at the end. */
  readonly onProgress?: ((done: PurgeResult) => void) | undefined;
  /** Ends the purge early. It then resolves with what it has removed. */
  readonly signal?: AbortSignal | undefined;
}
