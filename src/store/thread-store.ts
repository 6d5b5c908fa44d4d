import type { Scope } from "../protocol/scope.ts";

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
   * parts of the files that are free. Throws `THREAD_ALREADY_RUNNING`, and `ERASE_INCOMPLETE` when the
   * content may still be there.
   */
  erase(request: EraseRequest, scope: Scope): Promise<EraseResult>;
}

export type ThreadOrder = "updated" | "created";

export interface ThreadQuery {
  /** Only threads of this agent. */
  readonly agentId?: string | undefined;
  /** Words. Each must begin a word of the title or of the text of one of the thread's messages. */
  readonly search?: string | undefined;
  /** True for archived threads alone, false for all others. Default: both. */
  readonly archived?: boolean | undefined;
  /** Only threads whose metadata has each of these fields with an equal value. */
  readonly metadata?: Readonly<Record<string, string | number | boolean | null>> | undefined;
  /** Newest first. Default `"updated"`. */
  readonly order?: ThreadOrder | undefined;
  /** Threads a page, from 1 to 500. Default 50. */
  readonly limit?: number | undefined;
  /** `ThreadPage.nextCursor` of the page before. */
  readonly cursor?: string | null | undefined;
}

export interface ThreadPage {
  readonly threads: readonly ThreadSummary[];
  /** Null on the last page. */
  readonly nextCursor: string | null;
}

/** Values that JSON can hold. */
export type ThreadMetadata = Readonly<Record<string, unknown>>;

export interface ThreadSummary {
  readonly id: string;
  /** The title that was set, or else the beginning of the first user message. Null if there is neither. */
  readonly title: string | null;
  /** The agent of the last run that has one. */
  readonly agentId: string | null;
  /** Whose thread it is. Null for a thread of nobody. */
  readonly resourceId: string | null;
  readonly metadata: ThreadMetadata;
  readonly archived: boolean;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** When a run of the thread began or ended last, in milliseconds since the epoch. */
  readonly updatedAt: number;
  /** Null before the first run is stored. */
  readonly lastRun: RunSummary | null;
  /** Whether a run executes on it now, in whatever process. */
  readonly isRunning: boolean;
  /** Stored runs. */
  readonly runs: number;
  /** Messages that the stored runs have added, those in their inputs included. */
  readonly messages: number;
  /** UTF-8 bytes of the JSON of all stored events and inputs, before values that repeat are shared. */
  readonly bytes: number;
  /** What the agents told of their usage. Null if they told nothing. */
  readonly tokens: TokenUsage | null;
  /** Where the thread was forked from. */
  readonly forkedFrom: ForkOrigin | null;
}

export interface TokenUsage {
  readonly input: number;
  readonly output: number;
}

export interface ForkOrigin {
  readonly threadId: string;
  /** The last run that both threads have. */
  readonly runId: string;
}

/** How a run ended: by RUN_FINISHED, by RUN_FINISHED with interrupts, or by RUN_ERROR. */
export type RunOutcome = "finished" | "interrupt" | "error";

export interface RunSummary {
  readonly runId: string;
  /** The run's place in the thread: higher than that of every earlier run. */
  readonly epoch: number;
  readonly agentId: string | null;
  readonly outcome: RunOutcome;
  /** `code` of its RUN_ERROR. Null for another outcome, and for an error without a code. */
  readonly errorCode: string | null;
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
  /** UTF-8 bytes of the JSON of its events and its input. */
  readonly bytes: number;
}

export interface RunQuery {
  /** Runs a page, from 1 to 500. Default 50. */
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

export interface RunPage {
  readonly runs: readonly RunSummary[];
  readonly nextCursor: string | null;
}

/** What to change of a thread. A field that is left out stays as it is. */
export interface ThreadChange {
  /** Null gives the default title back. */
  readonly title?: string | null | undefined;
  readonly archived?: boolean | undefined;
  /** Replaces all metadata. */
  readonly metadata?: ThreadMetadata | undefined;
}

export interface ForkRequest {
  readonly threadId: string;
  readonly newThreadId: string;
  /** The last run to take over: of several runs with this id, the latest. Default: the last run. */
  readonly atRun?: string | undefined;
}

/** Which runs and threads a purge removes. Each limit that is left out removes nothing. */
export interface PurgeLimits {
  /** Removes threads whose last run ended longer ago, in milliseconds. */
  readonly maxAgeMs?: number | undefined;
  /** Removes the oldest runs of a thread with more runs. */
  readonly maxRunsPerThread?: number | undefined;
  /** Removes the threads that were updated the longest ago, while there are more threads. */
  readonly maxThreads?: number | undefined;
  /** Removes the threads that were updated the longest ago, while all threads together have more bytes. */
  readonly maxBytes?: number | undefined;
  /** The latest runs of each thread that stays that are kept, whatever the limits say. Default 1. */
  readonly keepLatest?: number | undefined;
  /** Whether only archived threads are removed or shortened. Default false. */
  readonly archivedOnly?: boolean | undefined;
}

export interface PurgeRequest extends PurgeLimits {
  /** Whether to count only. */
  readonly dryRun?: boolean | undefined;
  /** Only threads of this scope. */
  readonly scope: Scope;
  readonly onProgress?: ((done: PurgeResult) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PurgeResult {
  readonly threads: number;
  readonly runs: number;
  readonly bytes: number;
}

export type EraseRequest =
  | { readonly threadId: string; readonly resourceId?: undefined }
  | { readonly resourceId: string; readonly threadId?: undefined };

export interface EraseResult {
  readonly threads: number;
  readonly runs: number;
  /** Whether the files were searched afterwards, and nothing was found. */
  readonly verified: boolean;
}
