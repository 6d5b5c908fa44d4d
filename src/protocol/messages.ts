import type { MessageDigest } from "../events/message-digests.ts";
import type { LargeEvent } from "../events/shared/repeating.ts";
import type { StoreFault } from "./errors.ts";
import type { HoldersRequest } from "./holders.ts";
import type { ImportPart, MovedPageRequest } from "./moved-threads.ts";
import type { HoldingRun } from "./run-key.ts";
import type { Scope } from "./scope.ts";
import type {
  ListRunsRequest,
  ListThreadsRequest,
  ReadThreadRequest,
  UpdateThreadOp,
} from "./thread-messages.ts";
import type { EraseRequest, PurgeLimits, PurgeResult, RunDetails, RunRef } from "./threads.ts";

export type { HoldingRun } from "./run-key.ts";

/*
 * Every message between the main thread and the writer and reader threads.
 *
 * A request is answered by a `Reply`: a value, or a fault. Nothing is thrown across the boundary.
 * All JSON is sent as strings: a string is copied as a whole, an object field by field.
 */

/** Identifies a file on this machine, whatever its name. */
export interface FileNode {
  readonly dev: bigint;
  readonly ino: bigint;
}

/** How a worker reaches its database. */
export interface WorkerConfig {
  /** Absolute path of the file, or `":memory:"`. */
  readonly dbPath: string;
  /** This runner's name in `runner_instances` and `run_state.owner_id`. */
  readonly instanceId: string;
  /** Milliseconds after which an instance without a heartbeat counts as dead. */
  readonly leaseMs: number;
  /** The last message of runs whose process died. Default false, for none. */
  readonly interruptedNote?: string | false | undefined;
  /** Whether the runs of this instance are offered for a rerun after a crash. Default false. */
  readonly offersInterrupted?: boolean | undefined;
  /**
   * The database file that this runner opened first, or null. Another file of the same name is refused.
   */
  readonly file: FileNode | null;
  /** How many batches were sent to the writer and are not answered: long work of the writer makes room for them. */
  readonly batches?: Int32Array<SharedArrayBuffer>;
}

/** What a worker thread gets as its `workerData`. */
export interface ThreadConfig extends WorkerConfig {
  /** The cell of the pool's `NativeGate`. */
  readonly nativeCalls: Int32Array<SharedArrayBuffer>;
}

/** Take the thread for a run. Idempotent for one `number` of one instance. */
export interface ClaimOp {
  readonly kind: "claim";
  /** Unique per claim of an instance. A claim that is sent again keeps its number. */
  readonly number: number;
  readonly threadId: string;
  readonly runId: string;
  readonly agentId: string | null;
  /** Whose run it is. Null for a run of nobody. */
  readonly resourceId: string | null;
  /** Ids of the input's messages. The answer says which of them the thread has stored already. */
  readonly messageIds: readonly string[];
  /** By position, the digests of these messages: see `message-digests.ts`. */
  readonly messageDigests: readonly number[];
  /**
   * For a rerun of an interrupted run: `OfferedRun.row`. The claim is refused when the thread has gone on
   * since that run was taken.
   */
  readonly rerunOf?: number | undefined;
}

/**
 * The seq of a segment that comes before all others: the RUN_STARTED that the run is stored with if a crash
 * ends it before any of its events was journaled.
 */
export const START_SEQ = -2;

/** Journal a segment of a run in flight. Idempotent by (thread, epoch, seq). */
export interface AppendOp {
  readonly kind: "append";
  readonly threadId: string;
  readonly epoch: number;
  /** Number of the segment in the run, from 0, or `START_SEQ`. */
  readonly seq: number;
  /** JSON array of events. */
  readonly events: string;
  /** JSON of the RunAgentInput, with a run's first segment only. */
  readonly input: string | null;
}

/** Store a run whole: its journal, then `events`. Idempotent by (thread, epoch). */
export interface FinishOp {
  readonly kind: "finish";
  readonly threadId: string;
  readonly runId: string;
  readonly epoch: number;
  readonly agentId: string | null;
  /** How many segments of this run were sent before. */
  readonly segments: number;
  /** UTF-16 units of these segments that no `CompactOp` reads. */
  readonly unread: number;
  /** The number in the run of the segment `events`. */
  readonly seq: number;
  /** JSON array of the events that follow the journal. */
  readonly events: string;
  /**
   * The messages in `events`, when `events` is the whole run and is compact already. The writer then stores
   * `events` unread. Null when the writer has to read and compact the run.
   */
  readonly compactMessages: readonly MessageDigest[] | null;
  /** The events in `events` that may repeat values of other runs. Used only with `compactMessages`. */
  readonly large: readonly LargeEvent[];
  /** JSON of the RunAgentInput when it was not journaled, else null. */
  readonly input: string | null;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
}

/** Free the thread and store nothing of the run. */
export interface ReleaseOp {
  readonly kind: "release";
  readonly threadId: string;
  readonly epoch: number;
  /** How many segments of this run were sent before. */
  readonly segments: number;
  /** The number in the run of the segment `events`. */
  readonly seq: number;
  /** JSON array of the events that follow the journal. Followers in other instances still get them. */
  readonly events: string;
}

/** Read and compact a piece of the journal of a long run, before its `FinishOp`. */
export interface CompactOp {
  readonly kind: "compact";
  readonly threadId: string;
  readonly epoch: number;
  /** UTF-16 units of JSON to read. */
  readonly length: number;
  /** How many segments of the run were sent so far: no more can be read. */
  readonly segments: number;
}

/**
 * Free the thread if a claim that was rejected here holds it. Its answer was lost, and no agent
 * executes.
 */
export interface WithdrawOp {
  readonly kind: "withdraw";
  readonly threadId: string;
  /** The claim's number. */
  readonly number: number;
}

/** Free the thread of a run that cannot be stored whole. */
export interface GiveUpOp {
  readonly kind: "giveUp";
  readonly threadId: string;
  readonly epoch: number;
  /** True: store the journaled events, ended with an error. False: forget them. */
  readonly keep: boolean;
}

/** Ask whether a run still holds its thread. */
export interface ConfirmOp {
  readonly kind: "confirm";
  readonly threadId: string;
  readonly epoch: number;
}

/** Tell a run of another instance to stop. */
export interface StopOp {
  readonly kind: "stop";
  readonly threadId: string;
  /** Stop the thread's run only if it has this id. Null stops any run of the thread. */
  readonly runId: string | null;
  /** Stop only the run of this epoch. Null stops the run of any epoch. */
  readonly epoch: number | null;
  /** Whether the run is told to store nothing. */
  readonly discard: boolean;
  readonly scope: Scope;
}

/** Take an interrupted run, so that no other instance runs it again. Idempotent by (row, attempt). */
export interface TakeOp {
  readonly kind: "take";
  readonly threadId: string;
  readonly row: number;
  /** `OfferedRun.attempt`. The run then has one attempt more. */
  readonly attempt: number;
}

/** Offer an interrupted run no more. */
export interface SettleOp {
  readonly kind: "settle";
  readonly threadId: string;
  readonly row: number;
}

export type WriterOp =
  | ClaimOp
  | AppendOp
  | CompactOp
  | FinishOp
  | ReleaseOp
  | WithdrawOp
  | GiveUpOp
  | ConfirmOp
  | StopOp
  | UpdateThreadOp
  | TakeOp
  | SettleOp;

export interface ClaimResult {
  readonly epoch: number;
  /** For each of `messageIds`, by position, whether the thread has stored that message already. */
  readonly seen: readonly boolean[];
  /** The positions of the messages that are stored with another digest. */
  readonly changed: readonly number[];
  /** Whether no run of the thread is stored. */
  readonly isFirst: boolean;
}

/** The answer of an operation that succeeded and has no further result. */
export interface Done {
  readonly ok: true;
}

/**
 * Why a claim is refused, which is no failure: a live run of another instance holds the thread, or the
 * thread belongs to another resource.
 */
export type ClaimRefusal = "THREAD_ALREADY_RUNNING" | "THREAD_NOT_FOUND";

export type ClaimAnswer =
  | (Done & { readonly claim: ClaimResult })
  | (Done & {
      readonly claim: null;
      readonly refusal: ClaimRefusal;
      /** The epoch of the run that holds the thread. Null where that is not a run that can be told to end. */
      readonly heldIn: number | null;
    });

export interface StopAnswer extends Done {
  /** Whether a run of another instance got the request. */
  readonly stopped: boolean;
}

export interface TakeAnswer extends Done {
  /** Null when another instance has the run, or the thread has gone on. */
  readonly taken: TakenRun | null;
}

/** What the database has of an interrupted run beside its row. */
export interface TakenRun {
  readonly agentId: string | null;
  readonly resourceId: string | null;
  /** Milliseconds since the epoch when the run first took its thread. */
  readonly startedAt: number;
}

export interface SettleAnswer extends Done {
  /** False when the run was not offered any more, or another instance has it. */
  readonly settled: boolean;
}

/** The answer to each kind of operation that did not fail. */
export interface OpAnswers {
  readonly claim: ClaimAnswer;
  readonly append: Done;
  readonly compact: Done;
  readonly finish: Done;
  readonly release: Done;
  readonly withdraw: Done;
  readonly giveUp: Done;
  readonly confirm: Done;
  readonly stop: StopAnswer;
  readonly updateThread: Done;
  readonly take: TakeAnswer;
  readonly settle: SettleAnswer;
}

/** The outcome of one operation of a batch. A fault fails this operation, not the rest of the batch. */
export type OpResult<Kind extends WriterOp["kind"] = WriterOp["kind"]> =
  | OpAnswers[Kind]
  | { readonly ok: false; readonly fault: StoreFault };

/** Where the next page of a thread's history begins. */
export interface PageCursor {
  /** Rows up to this `agent_runs.id` were delivered whole. */
  readonly afterId: number;
  /** How many chunks of the row after `afterId` were delivered. */
  readonly chunk: number;
  /** The last row of the thread when reading began. Later runs are not part of this history. */
  readonly upToId: number;
}

export interface PageRequest {
  readonly threadId: string;
  readonly scope: Scope;
  readonly cursor: PageCursor | null;
  /** With the first page: only the last runs, so many of them. Null for all. */
  readonly runs: number | null;
  /** Leaves out what `HistoryOptions.forReplay` says. */
  readonly forReplay: boolean;
  /** With the first page: only this run, whatever `runs` says. Null for all. */
  readonly run: RunRef | null;
}

/** The view of a thread after the runs up to a row. */
export interface ViewRequest {
  readonly threadId: string;
  /** Null for the last row. */
  readonly upToId: number | null;
  /** How many of the last runs up to there are not in the view. */
  readonly leaveOut: number;
  /**
   * An earlier row whose view is known: the messages with which both views begin need not come again. Null
   * if none is.
   */
  readonly since: number | null;
}

export interface ViewMessage {
  /** JSON of a `StoredView` without its messages. */
  readonly rest: string;
  /** JSON arrays of its messages, in order, without those that are the same at `ViewRequest.since`. */
  readonly messages: readonly string[];
  /** Null without `ViewRequest.since`, and where the view of that row was not looked at. */
  readonly same: SameMessages | null;
  /** The row. */
  readonly upToId: number;
  /** How many runs of the thread there are up to the row. */
  readonly runs: number;
  /** How often runs of the thread were changed in place. 0 where a backend does not count that. */
  readonly changedRuns: number;
  /** The whole view as a backend keeps it, if making it was much work; else null. */
  readonly packed: Uint8Array | null;
  /** Bytes of the view that it was made from, as it is kept. 0 if none was. */
  readonly keptBytes: number;
}

/** What a view has in common with that of an earlier row. */
export interface SameMessages {
  /** How many messages both begin with. */
  readonly count: number;
  /** How many messages the earlier view has. */
  readonly of: number;
}

/** Keep a view, so that the next one is made from it. `runs` as `ViewMessage` had them. */
export interface KeepViewRequest {
  readonly threadId: string;
  readonly upToId: number;
  readonly runs: number;
  readonly changedRuns: number;
  /** `ViewMessage.packed`. */
  readonly packed: Uint8Array;
}

/** The input of an interrupted run: the view before the run, and what the run brought. */
export interface RunInputRequest {
  readonly threadId: string;
  /** Its row in `agent_runs`. */
  readonly row: number;
}

export interface RunInputMessage {
  /** Null when the row is gone. */
  readonly found: FoundRunInput | null;
}

export interface FoundRunInput {
  readonly runId: string;
  /** JSON of the input without its messages. */
  readonly rest: string;
  /** JSON arrays of its messages, in order. */
  readonly messages: readonly string[];
}

/** Some events of one stored run. A run larger than a page comes in several. */
export interface PageSegment {
  readonly runId: string;
  readonly first: boolean;
  readonly last: boolean;
  /** JSON array of events. */
  readonly events: string;
}

export interface HistoryPageMessage {
  readonly segments: readonly PageSegment[];
  readonly next: PageCursor | null;
  /** On the first page, the run that held the thread when reading began. Null on later pages. */
  readonly live: HoldingRun | null;
  /** On the first page, the last epoch whose run was over when reading began. 0 on later pages. */
  readonly endedUpTo: number;
  /** Whether anything was left out: `PageRequest.forReplay`. */
  readonly trimmed?: boolean;
  /** On the first page of a backend that has `readView`: rows, as in `HistoryViews`. */
  readonly views?: { readonly before: number | null; readonly end: number };
  /** On the first page, with `PageRequest.run`, of a backend that has `threads`. Null for a run that is not stored. */
  readonly run?: RunDetails | null;
}

export interface RunningRequest {
  readonly threadId: string;
  readonly scope: Scope;
}

/** The run that holds a thread, if its owner is alive and the run was not told to stop. */
export interface RunningMessage {
  readonly run: HoldingRun | null;
  /** Whether the thread exists and the scope does not see it. */
  readonly isOthers: boolean;
}

/** Asks about a run of another instance. */
export interface FollowRequest {
  readonly threadId: string;
  readonly epoch: number;
  /** Rows of `run_events` up to this id were read before. 0 before the first look. */
  readonly afterId: number;
  /** Whether any segment of the run was read before. */
  readonly begun: boolean;
}

/** What happened to a run of another instance since the last look. */
export interface FollowMessage {
  /** JSON arrays of events, in order. */
  readonly segments: readonly string[];
  /** Rows of `run_events` up to this id are read now. */
  readonly afterId: number;
  /** Whether there are more segments than fit one answer. */
  readonly more: boolean;
  /** Whether the run still holds its thread. */
  readonly running: boolean;
  /**
   * The stored events of an ended run, instead of segments, if no segment was read before. Else null.
   */
  readonly stored: string | null;
}

/** One look at other instances, for all followers and waiters of this instance. */
export interface LookRequest {
  /** The runs that this instance follows. */
  readonly runs: readonly FollowRequest[];
  /** The threads that this instance waits for. */
  readonly threads: readonly string[];
}

export interface LookMessage {
  readonly runs: readonly FollowMessage[];
  /** For each requested thread, whether a live owner holds it. */
  readonly held: readonly boolean[];
}

/** Operations that are committed together, in order. */
export interface Batch {
  readonly ops: readonly WriterOp[];
  /** Unique per send: a batch that is sent again gets a new number. */
  readonly seq: number;
  /**
   * `seq` of the batch that was sent before this batch and is not acknowledged yet, or null. This batch
   * is refused if the batch before it was not committed.
   */
  readonly after: number | null;
  /** Whether no other batch is in flight, and nothing waits to be sent. */
  readonly isAlone: boolean;
}

/** Remove a thread. May be sent again: it then carries on with the removal. */
export interface DeleteThreadRequest {
  readonly threadId: string;
  readonly scope: Scope;
  /** Of the claims of this instance, those with a number up to this one execute no more. */
  readonly endedClaims: number;
}

/** Make a thread whose history is that of another one, up to a run. */
export interface ForkThreadRequest {
  readonly threadId: string;
  readonly newThreadId: string;
  /** The client's id of the last run to take over. Null for the last run of the thread. */
  readonly atRun: string | null;
  readonly scope: Scope;
}

/** Remove old threads and runs. */
export interface PurgeThreadsRequest {
  /** Names the purge in notices, and to end it. */
  readonly purgeId: string;
  readonly limits: PurgeLimits;
  /** Whether to count only. */
  readonly dryRun: boolean;
  readonly scope: Scope;
  /** While another instance purges: whether to wait until it has done. If not, nothing is purged. */
  readonly waits: boolean;
}

/** Remove threads so that nothing of their content is left in the files: see `ThreadStore.erase`. */
export interface EraseThreadsRequest {
  readonly target: EraseRequest;
  readonly scope: Scope;
  /** Of the claims of this instance, those with a number up to this one execute no more, ... */
  readonly endedClaims: number;
  /** ... unless they hold one of these threads. */
  readonly heldThreads: readonly string[];
}

export type WriterRequest =
  | { readonly kind: "open" }
  /** With `sync`, the writer is asked to sync the WAL after the commit. */
  | ({ readonly kind: "batch"; readonly sync: boolean } & Batch)
  | { readonly kind: "page"; readonly page: PageRequest }
  | ({ readonly kind: "running" } & RunningRequest)
  | { readonly kind: "look"; readonly look: LookRequest }
  | { readonly kind: "view"; readonly view: ViewRequest }
  | { readonly kind: "run-input"; readonly run: RunInputRequest }
  | { readonly kind: "keep-view"; readonly view: KeepViewRequest }
  /** Write now what lists are ordered by and was put off. */
  | { readonly kind: "touch-threads" }
  | ({ readonly kind: "threads" } & ListThreadsRequest)
  | ({ readonly kind: "thread" } & ReadThreadRequest)
  | ({ readonly kind: "runs" } & ListRunsRequest)
  | ({ readonly kind: "holders" } & HoldersRequest)
  | ({ readonly kind: "moved" } & MovedPageRequest)
  /** Check now whether there are other instances: the main thread begins to wait for them. */
  | { readonly kind: "watch" }
  /** Write the content of the WAL again, so that the next sync puts all of it on the disk. */
  | { readonly kind: "rewrite-wal" }
  /** Check whether the open file still has its name. */
  | { readonly kind: "check" }
  /** Write a heartbeat: a fault says why the file cannot be written. */
  | { readonly kind: "probe" }
  /** Back up a database in memory, which no other thread can read. */
  | ({ readonly kind: "backup" } & BackupRequest)
  | ({ readonly kind: "delete-thread" } & DeleteThreadRequest)
  | ({ readonly kind: "fork-thread" } & ForkThreadRequest)
  | { readonly kind: "import"; readonly part: ImportPart }
  | { readonly kind: "abandon-import"; readonly threadId: string; readonly importId: string }
  | ({ readonly kind: "purge" } & PurgeThreadsRequest)
  | ({ readonly kind: "erase" } & EraseThreadsRequest)
  /** A checkpoint that the writer has asked for is over. */
  | ({ readonly kind: "checkpointed" } & CheckpointOutcome)
  /** End a purge early. */
  | { readonly kind: "end-purge"; readonly purgeId: string }
  | { readonly kind: "close" };

export interface CheckpointOutcome {
  /** False: the writer has to make the checkpoint itself. */
  readonly isDone: boolean;
}

/** What the thread is asked that moves the WAL into the database while long work fills the WAL. */
export type CheckpointerRequest =
  /** Open the file. Later failures of the disk to write the WAL are then noticed. */
  { readonly kind: "open" } | { readonly kind: "checkpoint" } | { readonly kind: "close" };

/** Copy the database to a new file. */
export interface BackupRequest {
  /** Absolute path of the copy. It must not exist. */
  readonly path: string;
  /** Path of the copy until it is whole. It also identifies the backup in notices. */
  readonly partialPath: string;
}

export interface BackupSize {
  /** Bytes copied so far. */
  readonly bytes: number;
  /** Bytes to be copied in all. */
  readonly totalBytes: number;
}

/** The progress of a backup. */
export interface BackupNotice extends BackupSize {
  readonly kind: "backup";
  readonly partialPath: string;
}

export interface OpenedMessage {
  /** The runs of dead processes that opening the store has ended, and why a run could not be ended. */
  readonly recovered: { readonly runs: number; readonly fault: StoreFault | null };
  /** The schema version of the file before it was opened. 0 for a new file. */
  readonly migratedFrom: number;
  /** The files that the writer has open. Null for a database in memory. */
  readonly files: OpenedFiles | null;
}

export interface OpenedFiles {
  readonly db: FileNode;
  readonly wal: FileNode;
  /** Absolute, with symbolic links resolved; the WAL and the lock files lie beside it. */
  readonly path: string;
  readonly walPath: string;
}

export interface BatchMessage {
  readonly results: readonly OpResult[];
  /** Bytes of the WAL file after the commit; 0 for a database in memory. */
  readonly walBytes: number;
  /** Whether the WAL is on the disk, this batch included. False if its sync failed, null if none was tried. */
  readonly synced: boolean | null;
}

export type ReaderRequest = Extract<
  WriterRequest,
  {
    kind:
      | "page"
      | "running"
      | "look"
      | "view"
      | "run-input"
      | "threads"
      | "thread"
      | "runs"
      | "holders"
      | "moved";
  }
>;

/** An interrupted run that may be taken. */
export interface OfferedRun {
  readonly threadId: string;
  /** Its row in `agent_runs`, which no other run ever has. */
  readonly row: number;
  /** How many times it was taken before. */
  readonly attempt: number;
}

/** What a writer reports without a request. */
export type WriterNotice =
  | BackupNotice
  /** What a purge has removed so far. */
  | { readonly kind: "purge"; readonly purgeId: string; readonly done: PurgeResult }
  /** Long work waits for a checkpoint in another thread, and then for a `checkpointed` request. */
  | { readonly kind: "checkpoint" }
  /** Another instance has written, or this instance has ended the runs of a dead instance. */
  | { readonly kind: "changed" }
  /** Runs of dead processes were ended. `fault` says why a run could not be ended. */
  | { readonly kind: "recovered"; readonly runs: number; readonly fault: StoreFault | null }
  /** Another instance asks a run of this instance to end. With `discard`, the run stores nothing. */
  | {
      readonly kind: "stop";
      readonly threadId: string;
      readonly epoch: number;
      readonly discard: boolean;
    }
  /** Runs that a crash ended, and that no live instance has taken. Repeated until they are taken or settled. */
  | { readonly kind: "interrupted"; readonly runs: readonly OfferedRun[] }
  /** The file was deleted, moved or replaced. The writer has closed it. */
  | { readonly kind: "replaced"; readonly fault: StoreFault }
  /** A heartbeat or the search for dead instances failed, and the file or the disk is not the cause. */
  | { readonly kind: "maintenance-failed"; readonly fault: StoreFault }
  /** This instance was suspended for longer than its lease: its runs may have been taken over. */
  | { readonly kind: "overslept" };

/** The answer of a worker: a value, or the fault that stopped the request. */
export type Reply<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: StoreFault };
