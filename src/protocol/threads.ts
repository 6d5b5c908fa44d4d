/*
 * What is said about threads: queries for them, summaries, and changes.
 */

export type ThreadOrder = "updated" | "created";

export interface ThreadQuery {
  /** Only threads of this agent. */
  readonly agentId?: string | undefined;
  /** Words. Each must begin a word of the title or of the text of one of the thread's messages. */
  readonly search?: string | undefined;
  /** True for archived threads alone, false for all others. Default: both. */
  readonly archived?: boolean | undefined;
  /** Only threads whose metadata has each of these fields with an equal value. At most 20 fields. */
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
  /** Whether the title was set. If not, it is the default title. */
  readonly isTitled: boolean;
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

/** Names a stored run of a thread. */
export interface RunRef {
  readonly epoch: number;
  /** Needed for the epoch 0 alone, which all runs have that version 1 stored. */
  readonly runId?: string | undefined;
}

type RunName = Pick<RunSummary, "epoch" | "runId">;

export interface RunDetails extends RunSummary {
  /** What its agent told of its usage. Null if it told nothing. */
  readonly tokens: TokenUsage | null;
  /** The stored run before it. Null if there is none. */
  readonly previous: RunName | null;
  /** The stored run behind it. Null if there is none. */
  readonly next: RunName | null;
}

export interface RunQuery {
  /** Runs a page, from 1 to 500. Default 50. */
  readonly limit?: number | undefined;
  /** `RunPage.nextCursor` of the page before. */
  readonly cursor?: string | null | undefined;
}

export interface RunPage {
  readonly runs: readonly RunSummary[];
  readonly nextCursor: string | null;
}

/** What to change of a thread. A field that is left out stays as it is. */
export interface ThreadChange {
  /** Null gives the default title back. */
  readonly title?: string | null | undefined;
  /** With `title`: changes nothing if a title is set already. */
  readonly onlyIfUntitled?: boolean | undefined;
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
  /**
   * The latest runs that `maxRunsPerThread` leaves of a thread at least. Default 1. Threads that go by the other limits
   * go whole.
   */
  readonly keepLatest?: number | undefined;
  /** Whether only archived threads are removed or shortened. Default false. */
  readonly archivedOnly?: boolean | undefined;
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
  /** Stored runs. A run that was ended is not stored. */
  readonly runs: number;
  /**
   * Whether the files were searched afterwards, and nothing was found. On PostgreSQL: whether no dead version of
   * an erased row is left in the tables either.
   */
  readonly verified: boolean;
}
