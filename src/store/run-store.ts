import type { EventLike } from "../events/event.ts";
import type { StoredView } from "../events/view/thread-view.ts";
import type { RunStoreError } from "../protocol/errors.ts";
import type { Scope } from "../protocol/scope.ts";
import type { RunDetails, RunRef } from "../protocol/threads.ts";
import type { InterruptedRuns } from "./interrupted-runs.ts";
import type { ThreadStore } from "./thread-store.ts";
import type { ThreadTransfer } from "./thread-transfer.ts";

/**
 * The port between the runner and whatever keeps its runs.
 *
 * A store keeps, for each thread, the runs that were finished, in the order in which they were;
 * lets at most one run at a time hold a thread; and keeps what was appended to a run in flight, so
 * that a run whose process died can be finalized by whoever opens the store next.
 *
 * A run is known by its thread and its epoch, the number of its claim: of two runs of a thread, the
 * one that was claimed later has the higher epoch. A `runId` is made by a client and may come again,
 * on the same thread and on others. It is kept and given back, and tells no runs apart.
 *
 * Ids of threads, runs and messages are well-formed strings of any characters, NUL included, and of
 * 10 000 characters at least. They are compared character by character: case, blanks and the normal
 * forms of Unicode make different ids.
 *
 * A thread belongs to a resource, or to nobody, from its first claim on. To a call for another resource it
 * is unknown: a claim is refused, it has no history, and no run of it runs or can be stopped.
 *
 * Storing a run never fails because of what its events or its input contain. What JSON cannot hold is
 * left out, alone. A store may compact a run, except for its CUSTOM events.
 *
 * Failures reject with a `RunStoreError`; a refusal that is part of normal work is a value.
 *
 * The suite in `conformance/` tests these rules, except for `backup` and for what takes a database
 * that fails or a process that dies.
 */
export interface RunStore {
  /**
   * Resolves when the store can be used; rejects when it cannot be opened. May be called again. No
   * other method has to wait for it.
   */
  ready(): Promise<void>;

  /**
   * Takes a thread for one run. Claims of one thread are answered in the order they were made.
   *
   * A claim that is made after `finish` or `release` was called finds the thread free, although the
   * call has not resolved. Such a claim knows the messages of the finished run.
   *
   * The user of a store claims a thread only when none of its own runs is active there. So a run of
   * this store that holds the thread is an orphan: the claim ends it, as recovery would, and gets the
   * thread. A claim is refused while a live run of another store holds the thread. Of the claims that
   * several stores make at once, one is granted.
   *
   * The first claim of a thread gives it to its resource. A claim for another resource is refused with
   * `THREAD_NOT_FOUND`, whoever holds the thread, and changes nothing. A thread belongs to no resource any
   * more when its only run was released.
   */
  claim(request: ClaimRequest): Promise<ClaimOutcome>;

  /**
   * One page of a thread's finished runs, in the order in which they were finished. `cursor` null
   * begins. A thread that is unknown has one empty page.
   *
   * The first page fixes what the history is: runs that are finished later are on none of its pages.
   * A cursor may be used again, and several readers may read at once.
   *
   * The events of a page have about 64 Ki characters of JSON, and less than 65 Ki. A single event that
   * has more is a page of its own.
   */
  readHistory(
    threadId: string,
    cursor: HistoryCursor | null,
    options?: HistoryOptions,
  ): Promise<HistoryPage>;

  /**
   * What a client holds that saw all runs up to `point`, which a first page gave. Required of a store
   * whose first pages have `views`.
   *
   * `earlier` is what this method gave for an earlier point of the same pages. The messages that have not
   * changed since may be the same objects.
   */
  readView?(threadId: string, point: ViewPoint, earlier?: StoredView): Promise<StoredView>;

  /**
   * The run that holds the thread, in whatever live process, or null: from its claim until `finish` or
   * `release` has resolved. One that another process was asked to stop does not count.
   */
  runningRun(threadId: string, scope?: Scope): Promise<LiveRun | null>;

  /**
   * Whether the thread belongs to another resource than the scope's, or to nobody where the scope has one.
   * False for an unknown thread. Required of a store that has resources.
   */
  isOthers?(threadId: string, scope: Scope): Promise<boolean>;

  /**
   * The events of a run that executes elsewhere (`HistoryPage.live`), from its first, as they come,
   * until it has ended, each event once. Whoever begins late gets all of them. A run that is released
   * is told to its last event, if any was told before. A run whose process dies ends as it is
   * recovered. Ends early with `signal`. Throws `FOLLOW_LOST` when its end cannot be told any more.
   */
  follow(threadId: string, epoch: number, signal: AbortSignal): AsyncIterable<readonly EventLike[]>;

  /**
   * Asks whoever executes the thread's run elsewhere to stop it; with `runId` only if it has that id.
   * False when there is no such run, or it was asked before. False for a run of this store, too.
   */
  requestStop(threadId: string, runId: string | null, scope?: Scope): Promise<boolean>;

  /** Resolves when nobody elsewhere holds the thread, or with `signal`. */
  released(threadId: string, signal: AbortSignal): Promise<void>;

  /** True when more is waiting to be written than the store is willing to hold. */
  readonly overloaded: boolean;

  /** True when it is overloaded and makes no progress: a run that goes on emitting would fill the memory. */
  readonly stuck: boolean;

  /**
   * Resolves when all that was appended or finished before is stored: at once, if nothing was. Rejects
   * when some of it never will be.
   */
  flush(): Promise<void>;

  /**
   * Stores what is waiting, for at most `timeoutMs`, and lets go of everything.
   * Rejects with `CLOSE_INCOMPLETE` when something could not be stored. Closing twice is closing once.
   *
   * A run that holds a thread then is ended by the next store on the data: what was appended to it is
   * stored, with a RUN_ERROR `RUN_INTERRUPTED` behind it. A run without events leaves nothing.
   *
   * After that, all methods reject with a `RunStoreError`, those of claimed runs included. So does all
   * following and waiting that is under way. There are four exceptions: `append` takes an event and
   * loses it, `flush` resolves if all was stored, and `close` and `stats` go on working.
   */
  close(timeoutMs: number): Promise<void>;

  /**
   * True of a store that keeps the rules about resources. Without it, a runner refuses every call for a
   * resource.
   */
  readonly hasResources?: boolean;

  /** The runs that a crash ended, to be run again. Absent where the store cannot offer them. */
  readonly interrupted?: InterruptedRuns;

  /** Lists, changes and removes threads. Absent where the store cannot. */
  readonly threads?: ThreadStore;

  /** Gives threads to other stores and takes theirs. Absent where the store cannot. */
  readonly transfer?: ThreadTransfer;

  /**
   * Copies everything that was acknowledged before to a new file, beside those who go on writing.
   * `path` is absolute. Rejects with `BACKUP_EXISTS` when there is such a file; then, and whenever it
   * fails, it leaves nothing behind. Absent where the store is backed up by tools of its own.
   */
  backup?(path: string, options: BackupOptions): Promise<BackupResult>;

  /**
   * Writes something small, to learn whether the store can be written. Rejects with the reason if not. Takes as
   * long as the database takes. Absent where the store has nothing to write.
   */
  probe?(): Promise<void>;

  /** May be called at any time, before `ready` and after `close` too. */
  stats(): StoreStats;
}

export interface BackupOptions {
  /** Called from time to time, and once at the end, when `bytes` is `totalBytes`. */
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined;
}

export interface BackupProgress {
  /** Copied so far. */
  readonly bytes: number;
  /** To be copied in all. It may grow for a database in memory that is written to meanwhile. */
  readonly totalBytes: number;
}

export interface BackupResult {
  /** Size of the copy. */
  readonly bytes: number;
}

export interface ClaimRequest {
  readonly threadId: string;
  readonly runId: string;
  readonly agentId: string | null;
  /** Whose run it is. Default null, for a thread of nobody. */
  readonly resourceId?: string | null;
  /** Ids of the messages in the run's input. */
  readonly messageIds: readonly string[];
  /** By position, digests of those messages, 0 for one that is not to be compared. */
  readonly messageDigests?: readonly number[];
  /**
   * If a run of another store holds the thread, and this returns true when that is known, that run is told to
   * end and to leave nothing behind. The claim may have been given up by then.
   */
  readonly supersede?: () => boolean;
  /**
   * For a rerun: `OfferedRun.row` of a run that this store has taken. The claim is refused with
   * `THREAD_ALREADY_RUNNING` if any other run has taken the thread since.
   */
  readonly rerunOf?: number;
  /** Called when the run was taken over by someone else, or can no longer be written. */
  readonly onLost: (error: RunStoreError) => void;
  /** Called, perhaps repeatedly, when another process wants the run to end. */
  readonly onStopRequested: (request: { readonly discard: boolean }) => void;
}

export type ClaimOutcome =
  | {
      readonly kind: "claimed";
      readonly run: ClaimedRun;
      /**
       * For each of `messageIds`, by position, whether a finished run of the thread has the message:
       * in an event with that `messageId`, or in the `input` of its RUN_STARTED. What `setInput` was
       * given does not count. An empty id is never seen.
       */
      readonly seen: readonly boolean[];
      /** The positions of those that are stored with another content, as far as the store can tell. */
      readonly changed?: readonly number[];
      /** Whether no run of the thread is stored. Default false. */
      readonly isFirst?: boolean;
    }
  | {
      readonly kind: "refused";
      readonly code: "THREAD_ALREADY_RUNNING" | "THREAD_NOT_FOUND";
      readonly message: string;
    };

/** A thread held for one run, and the way to write that run. */
export interface ClaimedRun {
  /**
   * The number of the claim, a whole number from 1: higher than that of every earlier claim of the
   * thread, in whichever store.
   */
  readonly epoch: number;

  /** The input to store with the run. Called once, before the first `append`. */
  setInput(input: unknown): void;

  /**
   * Journals, without waiting for the first event, what the run is stored with if a crash ends it before
   * any event was journaled. Called at most once, before the first `append`. Absent where the store
   * does not offer interrupted runs.
   */
  begin?(start: EventLike): void;

  /**
   * Adds one event. Returns at once; it is stored within the store's linger time. What is stored is
   * the event as it is now, whatever is done to the object later. The object is not changed.
   */
  append(event: EventLike): void;

  /**
   * Stores the run and gives the thread back; resolves when that is durable. The run is part of the
   * history then, and not before. A run without events is stored as well.
   * `onStalled` is called, once, when storing keeps failing for a while: the store goes on trying.
   * Rejects when the run can never be stored (a store that is corrupt; `LEASE_LOST`, if it was
   * released or another run has the thread).
   */
  finish(onStalled: (error: RunStoreError) => void): Promise<void>;

  /**
   * Gives the thread back and forgets all that was appended. Releasing again does nothing, whoever has
   * the thread by then.
   */
  release(): Promise<void>;
}

/** Opaque: where a store left off. */
export type HistoryCursor = object;

/** Opaque: a place between two runs of a thread. */
export type ViewPoint = object;

/** What is wanted of a history. A store may give all of it, whatever is wanted. */
export interface HistoryOptions {
  /** Default: threads of nobody. */
  readonly scope?: Scope | undefined;
  /** Only the last runs, so many of them. */
  readonly runs?: number | undefined;
  /** Only this run, whatever `runs` says. A store that has `threads` gives no other, and sets `HistoryPage.run`. */
  readonly run?: RunRef | undefined;
  /**
   * For a client that is shown the view at the end: state events and MESSAGES_SNAPSHOTs may be left out,
   * whose effect is in the view. `HistoryPage.trimmed` says so.
   */
  readonly forReplay?: boolean | undefined;
}

/**
 * Consecutive events of one finished run. A large run comes in several segments, one after the other.
 * A run without events is one empty segment.
 */
export interface HistorySegment {
  readonly runId: string;
  /** The run's first events are in this segment. */
  readonly first: boolean;
  /** The run's last events are in this segment. */
  readonly last: boolean;
  readonly events: readonly EventLike[];
}

export interface HistoryPage {
  readonly segments: readonly HistorySegment[];
  /** Null after the last page. */
  readonly next: HistoryCursor | null;
  /**
   * On the first page, the run that held the thread, here or elsewhere, in the moment of which the
   * history is: none of the pages holds it. If it was claimed through this store, its claim has been
   * answered. Null on later pages.
   */
  readonly live: LiveRun | null;
  /**
   * On the first page, the last epoch that was over in that moment: what is kept of runs up to it is
   * in this history, and of later runs nothing is. 0 if there was none, and on later pages.
   */
  readonly endedUpTo: number;
  /** Events were left out of this page: `HistoryOptions.forReplay`. */
  readonly trimmed?: boolean;
  /** On the first page: places in the thread, for `RunStore.readView`. */
  readonly views?: HistoryViews;
  /** On the first page, with `HistoryOptions.run`. Null for a run that is not stored: the page is empty then. */
  readonly run?: RunDetails | null;
}

export interface HistoryViews {
  /** Before the first run of this history, if there are runs before it; else null. */
  readonly before: ViewPoint | null;
  /** Behind the last run. */
  readonly end: ViewPoint;
}

/** A run that holds a thread. */
export interface LiveRun {
  readonly runId: string;
  readonly epoch: number;
}

/** Percentiles of what was seen since the store was opened; zeros before that. */
export interface Distribution {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/**
 * All numbers are finite, and none is negative. A store that writes without a queue says 0 where one
 * is asked about.
 */
export interface StoreStats {
  /** Operations waiting to be written, those in flight included. */
  readonly queueDepth: number;
  /** Bytes of JSON waiting to be written, those in flight included. */
  readonly queueBytes: number;
  /** Milliseconds for which the oldest operation has been waiting, 0 when none is. */
  readonly lagMs: number;
  /** Batches acknowledged. A store without batches counts what it has stored. */
  readonly batches: number;
  /** Operations a batch. */
  readonly batchSize: Distribution;
  /** Milliseconds from sending a batch to its acknowledgement. */
  readonly commitMs: Distribution;
  /** Bytes of the log in front of the database: SQLite's WAL file. 0 for a store without one. */
  readonly walBytes: number;
  /** The last failure, retried or not, or null. */
  readonly lastError: RunStoreError | null;
}
