import type { MessageDigest } from "../events/message-digests.ts";
import type { LargeEvent } from "../events/shared/repeating.ts";
import type { StoreFault } from "./errors.ts";

/**
 * Every message between the main thread and the writer and reader threads.
 *
 * A request is answered by a `Reply`: a value, or a fault. Nothing is thrown across the boundary.
 * All JSON travels as strings, which are copied, not cloned field by field.
 */

/** What tells a file from every other one on the machine, whatever its name. */
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
  /** The database file that this runner opened first: another one under its name is refused. */
  readonly file: FileNode | null;
}

/** What a worker thread gets as its `workerData`. */
export interface ThreadConfig extends WorkerConfig {
  /** The cell of the pool's `LoadGate`. */
  readonly loading: Int32Array<SharedArrayBuffer>;
}

/** Take the thread for a run. Idempotent for one `number` of one instance. */
export interface ClaimOp {
  readonly kind: "claim";
  /** Each claim of an instance has another: one that is sent again is recognized by it. */
  readonly number: number;
  readonly threadId: string;
  readonly runId: string;
  /** Ids of the input's messages, to be told which the thread has stored already. */
  readonly messageIds: readonly string[];
  /** By position, the digests of those messages: see `message-digests.ts`. */
  readonly messageDigests: readonly number[];
  /** A run of another process that holds the thread is told to end, and to store nothing. */
  readonly supersede: boolean;
}

/** Journal a segment of a run in flight. Idempotent by (thread, epoch, seq). */
export interface AppendOp {
  readonly kind: "append";
  readonly threadId: string;
  readonly epoch: number;
  /** Number of the segment in the run, from 0. */
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
  /** UTF-16 units of them that no `CompactOp` was sent to read. */
  readonly unread: number;
  /** Number in the run of the segment that `events` are. */
  readonly seq: number;
  /** JSON array of the events that follow the journal. */
  readonly events: string;
  /**
   * The messages in `events`, when those are the whole run and as compact as they get: then the
   * writer stores the text as it is. Null when it has to read the events.
   */
  readonly compactMessages: readonly MessageDigest[] | null;
  /** The events in `events` that may hold much of what other runs hold. Of use with `compactMessages`. */
  readonly large: readonly LargeEvent[];
  /** JSON of the RunAgentInput when it was not journaled, else null. */
  readonly input: string | null;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
}

/** Give the thread back and store nothing of the run. */
export interface ReleaseOp {
  readonly kind: "release";
  readonly threadId: string;
  readonly epoch: number;
  /** How many segments of this run were sent before. */
  readonly segments: number;
  /** Number in the run of the segment that `events` are. */
  readonly seq: number;
  /** JSON array of the events that follow the journal: for those who follow the run elsewhere. */
  readonly events: string;
}

/** Read a piece of the journal of a run that has ended, and compact it: its finish follows. */
export interface CompactOp {
  readonly kind: "compact";
  readonly threadId: string;
  readonly epoch: number;
  /** UTF-16 units of JSON to read. */
  readonly length: number;
}

/** Free the thread if a claim that was given up holds it: its answer was lost, and nobody executes. */
export interface WithdrawOp {
  readonly kind: "withdraw";
  readonly threadId: string;
  /** The claim's number. */
  readonly number: number;
}

/** Free the thread of a run that cannot be stored. */
export interface GiveUpOp {
  readonly kind: "giveUp";
  readonly threadId: string;
  readonly epoch: number;
  /** Whether what was journaled is stored, ended with an error, or forgotten. */
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
  /** Only a run of this id, or whichever holds the thread. */
  readonly runId: string | null;
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
  | StopOp;

export interface ClaimResult {
  readonly epoch: number;
  /** Which of `messageIds` are stored in the thread already, by position. */
  readonly seen: readonly boolean[];
  /** The positions of those that are stored with another digest. */
  readonly changed: readonly number[];
}

/** An operation that was done, and of which no more is to be said. */
export interface Done {
  readonly ok: true;
}

export interface ClaimAnswer extends Done {
  /** Null when a live run of another instance holds the thread: that is a refusal, and no failure. */
  readonly claim: ClaimResult | null;
}

export interface StopAnswer extends Done {
  /** Whether there is a run that will find the request. */
  readonly stopped: boolean;
}

/** What each kind of operation is answered with when it did not fail. */
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
}

/** The outcome of one operation of a batch: a fault fails it alone, not its neighbours. */
export type OpResult<Kind extends WriterOp["kind"] = WriterOp["kind"]> =
  | OpAnswers[Kind]
  | { readonly ok: false; readonly fault: StoreFault };

/** Where to go on reading a thread's history. */
export interface PageCursor {
  /** Rows up to this `agent_runs.id` were delivered whole. */
  readonly afterId: number;
  /** Chunks of the row behind `afterId` that were delivered. */
  readonly chunk: number;
  /** The last row of the thread when reading began: later runs are not part of this history. */
  readonly upToId: number;
}

export interface PageRequest {
  readonly threadId: string;
  readonly cursor: PageCursor | null;
  /** With the first page: only the last runs, so many of them. Null for all. */
  readonly runs: number | null;
  /** Leaves out what `HistoryOptions.forReplay` says. */
  readonly forReplay: boolean;
}

/** The view of a thread after the runs up to a row. */
export interface ViewRequest {
  readonly threadId: string;
  readonly upToId: number;
}

export interface ViewMessage {
  /** JSON of a `StoredView` without its messages. */
  readonly rest: string;
  /** JSON arrays of its messages, in order. */
  readonly messages: readonly string[];
  /** How many runs of the thread there are up to the row. */
  readonly runs: number;
  /** UTF-16 units of JSON that were read, beyond the view that was kept. */
  readonly read: number;
}

/** Keep a view, so that the next one is made from it. `runs` as `ViewMessage` had them. */
export interface KeepViewRequest extends ViewRequest {
  readonly runs: number;
  /** JSON of a `StoredView`. */
  readonly view: string;
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
  /** On the first page, the run that held the thread in the moment of which the history is. */
  readonly live: HoldingRun | null;
  /** On the first page, the last epoch that was over in that moment; 0 on later pages. */
  readonly endedUpTo: number;
  /** Whether anything was left out: `PageRequest.forReplay`. */
  readonly trimmed?: boolean;
  /** On the first page of a backend that has `readView`: rows, as in `HistoryViews`. */
  readonly views?: { readonly before: number | null; readonly end: number };
}

/** A run that holds a thread, and whose owner is alive. */
export interface HoldingRun {
  readonly runId: string;
  readonly epoch: number;
  /** `ClaimOp.number` if it is a run of this instance, else null. */
  readonly ownClaim: number | null;
}

/** The run that holds a thread, if its owner is alive and it was not told to stop. */
export interface RunningMessage {
  readonly run: HoldingRun | null;
}

/** What is asked about a run of another instance. */
export interface FollowRequest {
  readonly threadId: string;
  readonly epoch: number;
  /** What is known already: rows of `run_events` up to this id. 0 before the first look. */
  readonly afterId: number;
  /** Whether any segment of the run is known. */
  readonly begun: boolean;
}

/** What happened to a run of another instance since it was last asked about. */
export interface FollowMessage {
  /** JSON arrays of events, in order. */
  readonly segments: readonly string[];
  /** What is known now. */
  readonly afterId: number;
  /** There are more segments than fit one answer. */
  readonly more: boolean;
  /** The run holds its thread still. */
  readonly running: boolean;
  /** The stored events of a run that has ended, instead of segments, when none was known before. */
  readonly stored: string | null;
}

/** One look at everything that other instances do and someone here waits for. */
export interface LookRequest {
  readonly runs: readonly FollowRequest[];
  /** Threads that someone waits for. */
  readonly threads: readonly string[];
}

export interface LookMessage {
  readonly runs: readonly FollowMessage[];
  /** For each of the threads, whether a live owner holds it. */
  readonly held: readonly boolean[];
}

/** Operations that are committed together, in order. */
export interface Batch {
  readonly ops: readonly WriterOp[];
  /** Unique per send: a batch that is sent again has a new number. */
  readonly seq: number;
  /**
   * `seq` of the batch that was sent before it and is not acknowledged yet, or null. If that batch was
   * not committed, this one is refused.
   */
  readonly after: number | null;
}

export type WriterRequest =
  | { readonly kind: "open" }
  | ({ readonly kind: "batch" } & Batch)
  | { readonly kind: "page"; readonly page: PageRequest }
  | { readonly kind: "running"; readonly threadId: string }
  | { readonly kind: "look"; readonly look: LookRequest }
  | { readonly kind: "view"; readonly view: ViewRequest }
  | { readonly kind: "keep-view"; readonly view: KeepViewRequest }
  /** Someone waits for what other instances do: see now whether there are any. */
  | { readonly kind: "watch" }
  /** Write to the WAL what it holds, so that the next sync puts all of it on the disk. */
  | { readonly kind: "rewrite-wal" }
  /** See whether the open file still has its name. */
  | { readonly kind: "check" }
  /** Of a database in memory, which no other thread can read. */
  | ({ readonly kind: "backup" } & BackupRequest)
  | { readonly kind: "close" };

/** Copy the database to a new file. */
export interface BackupRequest {
  /** Absolute. There is to be no such file. */
  readonly path: string;
  /** The name of the copy until it is whole. Names the backup, too. */
  readonly partialPath: string;
}

export interface BackupSize {
  /** Copied so far. */
  readonly bytes: number;
  /** To be copied in all. */
  readonly totalBytes: number;
}

/** A backup has got further. */
export interface BackupNotice extends BackupSize {
  readonly kind: "backup";
  readonly partialPath: string;
}

export interface OpenedMessage {
  /** What became of the runs of dead processes when the store was opened. */
  readonly recovered: { readonly runs: number; readonly fault: StoreFault | null };
  /** The schema version the file had before, 0 for a new file. */
  readonly migratedFrom: number;
  /** The files that the writer has open; null for a database in memory. */
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
}

export type ReaderRequest = Extract<WriterRequest, { kind: "page" | "running" | "look" | "view" }>;

/** What a writer says unasked. */
export type WriterNotice =
  | BackupNotice
  /** Another instance has written, or the runs of a dead one were ended here. */
  | { readonly kind: "changed" }
  /** Runs of dead processes were ended, or one could not be, with the reason. */
  | { readonly kind: "recovered"; readonly runs: number; readonly fault: StoreFault | null }
  /** Another instance wants a run of this one to end; with `discard`, to leave nothing behind. */
  | {
      readonly kind: "stop";
      readonly threadId: string;
      readonly epoch: number;
      readonly discard: boolean;
    }
  /** The file was deleted, moved or replaced: the writer has let go of it. */
  | { readonly kind: "replaced"; readonly fault: StoreFault }
  /** A heartbeat, or the search for dead instances, failed by an error that is not the disk's. */
  | { readonly kind: "maintenance-failed"; readonly fault: StoreFault }
  /** This instance was asleep for longer than its lease: its runs may have been taken over. */
  | { readonly kind: "overslept" };

/** Whatever a worker answers: a value, or the fault that stopped it. */
export type Reply<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: StoreFault };
