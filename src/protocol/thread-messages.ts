import type { HoldingRun } from "./run-key.ts";
import type { Scope } from "./scope.ts";
import type {
  RunSummary,
  ThreadChange,
  ThreadQuery,
  ThreadSummary,
  TokenUsage,
} from "./threads.ts";

/*
 * The messages about threads between the main thread and the writer and reader threads.
 */

/** The place of a thread in a list: behind it begins the next page. */
export interface ThreadPlace {
  /** `updatedAt` or `createdAt`, by the order of the list. */
  readonly at: number;
  readonly threadId: string;
}

/** A field of metadata: its name, and the JSON of its value. */
export type MetadataField = readonly [key: string, value: string];

export interface ListThreadsRequest {
  readonly query: Pick<ThreadQuery, "agentId" | "search" | "archived" | "order">;
  /** Fields that the metadata of each thread has. */
  readonly metadata: readonly MetadataField[];
  readonly scope: Scope;
  /** Null for the first page. */
  readonly after: ThreadPlace | null;
  /** Threads a page. */
  readonly limit: number;
}

/** A thread as it is stored. Whether a run executes on it is for the main thread to say. */
export interface StoredThread extends Omit<ThreadSummary, "isRunning"> {
  /** The run that holds it, if its owner is alive. */
  readonly live: HoldingRun | null;
}

export interface ListThreadsMessage {
  readonly threads: readonly StoredThread[];
  /** The place of the last of these threads if there are more threads, else null. */
  readonly next: ThreadPlace | null;
}

export interface ReadThreadRequest {
  readonly threadId: string;
  readonly scope: Scope;
}

export interface ReadThreadMessage {
  readonly thread: StoredThread | null;
}

export interface ListRunsRequest {
  readonly threadId: string;
  readonly scope: Scope;
  /** `ListRunsMessage.next` of the page before, or null for the first page. */
  readonly after: number | null;
  /** Runs a page. */
  readonly limit: number;
}

export interface ListRunsMessage {
  readonly runs: readonly RunSummary[];
  /** Null on the last page. */
  readonly next: number | null;
}

/** Change what is known of a thread besides its runs. Fails with `THREAD_NOT_FOUND`. */
export interface UpdateThreadOp {
  readonly kind: "updateThread";
  readonly threadId: string;
  readonly change: Omit<ThreadChange, "metadata"> & {
    /** JSON of an object. */
    readonly metadata?: string | undefined;
  };
  readonly scope: Scope;
}

/** What is derived from the runs of a thread. */
export interface ThreadFacts {
  /** The default title. */
  readonly title: string | null;
  readonly runs: number;
  readonly messages: number;
  readonly bytes: number;
  readonly tokens: TokenUsage | null;
  readonly lastRun: RunSummary | null;
}

/** A stored run, but for how it ended. */
export type StoredRunFacts = Omit<RunSummary, "outcome" | "errorCode">;
