import type { MessageDigest } from "../events/message-digests.ts";
import type { Scope } from "./scope.ts";
import type { ForkOrigin, RunOutcome } from "./threads.ts";

/*
 * A thread as one store gives it to another: see `ThreadTransfer`. JSON stays text, as everywhere between
 * threads of execution.
 */

/** A thread without its runs. */
export interface MovedThread {
  readonly threadId: string;
  /** Whose thread it is. Null for a thread of nobody. */
  readonly resourceId: string | null;
  /** The agent of its last run. */
  readonly agentId: string | null;
  /** Null for the default title. */
  readonly title: string | null;
  readonly archived: boolean;
  /** JSON of an object. */
  readonly metadata: string;
  /** Milliseconds since the epoch, as all times here. */
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly forkedFrom: ForkOrigin | null;
  /** The epoch of the last claim, of whatever became of its run. The next claim gets a higher epoch. */
  readonly epoch: number;
}

/** A stored run without its events. */
export interface MovedRunHead {
  readonly runId: string;
  /** 0 where it was not noted: runs of version 1 have none. */
  readonly epoch: number;
  readonly agentId: string | null;
  readonly endedAt: number;
  /** JSON of the RunAgentInput as it is stored. Any text where another program has written it. */
  readonly input: string;
}

export interface MovedRun extends MovedRunHead {
  /** JSON arrays of its events, in order. A single text of any kind where another program has written it. */
  readonly events: readonly string[];
}

/** Consecutive events of a run. */
export interface MovedPart {
  /** With the first events of a run. */
  readonly run: (MovedRunHead & MovedRunEnd) | null;
  /** One of the texts of `MovedRun.events`. */
  readonly events: string;
  /** Whether the run has no more events. */
  readonly isLast: boolean;
}

export interface MovedRunEnd {
  readonly outcome: RunOutcome;
  readonly errorCode: string | null;
}

/** Where the next page of a thread begins. */
export interface MovedCursor {
  /** Messages up to this id were told. Null when all messages were told. */
  readonly messagesUpTo: string | null;
  /** Rows up to this one were told whole. */
  readonly afterId: number;
  /** The row of which only some texts were told, and how many. The page is empty if the row is gone. */
  readonly begun: { readonly row: number; readonly chunks: number } | null;
  /** The last row of the thread when reading began. */
  readonly upToId: number;
}

export interface MovedPage {
  /** On the first page: the thread, and how many runs the pages have. */
  readonly head: { readonly thread: MovedThread; readonly runs: number } | null;
  /**
   * Messages that the thread knows. Only of threads that may know others than those in their runs: some of
   * their runs were removed, or those of the thread that they were forked from.
   */
  readonly messages: readonly MessageDigest[];
  readonly parts: readonly MovedPart[];
  readonly next: MovedCursor | null;
}

export interface MovedPageRequest {
  readonly threadId: string;
  readonly scope: Scope;
  /** Null for the first page. */
  readonly cursor: MovedCursor | null;
}

export interface MovedPageMessage {
  /** Null for a thread that is unknown, or that the scope does not see. */
  readonly page: MovedPage | null;
}

/** A piece of a thread that is imported. The pieces of a thread come in order. */
export interface ImportPart {
  /** The same for all pieces of a thread, and for no other import. */
  readonly importId: string;
  readonly thread: MovedThread;
  /** Whether it is the first piece. */
  readonly begins: boolean;
  /** Whether it is the last piece: the thread is known from then on. */
  readonly ends: boolean;
  readonly messages: readonly MessageDigest[];
  readonly runs: readonly MovedRun[];
}
