import type { RunStoreError } from "../../protocol/errors.ts";
import type { Holders, HoldersRequest } from "../../protocol/holders.ts";
import type {
  Batch,
  DeleteThreadRequest,
  EraseThreadsRequest,
  ForkThreadRequest,
  HistoryPageMessage,
  KeepViewRequest,
  LookMessage,
  LookRequest,
  OfferedRun,
  OpResult,
  PageRequest,
  PurgeThreadsRequest,
  RunInputMessage,
  RunInputRequest,
  RunningMessage,
  RunningRequest,
  ViewMessage,
  ViewRequest,
} from "../../protocol/messages.ts";
import type { RunKey } from "../../protocol/run-key.ts";
import type {
  ListRunsMessage,
  ListRunsRequest,
  ListThreadsMessage,
  ListThreadsRequest,
  ReadThreadMessage,
  ReadThreadRequest,
} from "../../protocol/thread-messages.ts";
import type { EraseResult, PurgeResult } from "../../protocol/threads.ts";
import type { RunStore } from "../run-store.ts";
import type { ThreadTransfer } from "../thread-transfer.ts";

/**
 * What a `QueuedRunStore` needs of a database.
 *
 * Every method rejects with a `RunStoreError`. Its `retryable` says whether a later try may succeed.
 */
export interface Backend {
  /** Called once, before every other method. `listener` gets the notices of the backend. */
  onNotice(listener: (notice: BackendNotice) => void): void;

  /** Opens the database. Resolves at once when it is open. After a failure, the next call tries again. */
  open(): Promise<void>;

  /**
   * Commits a batch in one transaction. Opens the database first.
   *
   * An operation that fails gets a fault as its result. The other operations are committed. The whole
   * batch rejects when nothing of it was committed, or when the outcome is unknown. It may then be sent
   * again, so every operation is idempotent. A batch with `after` rejects unless the batch of that number
   * was committed.
   *
   * `WRITER_DIED` says that the batch may have ended the writer. `NO_WRITER` says that no writer could open the
   * database for the batch.
   */
  commit(batch: Batch): Promise<CommittedBatch>;

  /**
   * Whether `CompactOp`s of a run come while it is in flight. Else they come right before its `FinishOp`. Default
   * false.
   */
  readonly compactsInFlight?: boolean;

  /** One page of a thread's finished runs. This and the other reads open the database first. */
  readPage(request: PageRequest): Promise<HistoryPageMessage>;

  /** The view of a thread after the runs up to a row, which a first page named in `views`. */
  readView?(request: ViewRequest): Promise<ViewMessage>;

  /** Keeps a view, so that it need not be made again. Called when making it was much work. */
  keepView?(request: KeepViewRequest): Promise<void>;

  /** The whole input of a stored run. Required of a backend that gives `interrupted` notices. */
  readRunInput?(request: RunInputRequest): Promise<RunInputMessage>;

  /** The run that holds a thread, if its owner is alive and it was not told to stop. */
  running(request: RunningRequest): Promise<RunningMessage>;

  /** What other instances did with the runs and the threads that the request names. */
  look(request: LookRequest): Promise<LookMessage>;

  /** Reads of threads. Absent where the backend has no list of them: see `QueuedThreads`. */
  readonly threads?: ThreadReads;

  /** Removes and forks threads. Present where `threads` is. */
  readonly threadWrites?: ThreadWrites;

  /** Gives threads to other stores and takes theirs. Absent where the backend cannot. */
  readonly transfer?: ThreadTransfer;

  /** This instance begins to wait for other instances: it needs `changed` notices soon from now on. */
  watch(): void;

  /** Null when a commit needs no further step to be durable. */
  readonly durability: Durability | null;

  /** Rejects when other processes may not find the acknowledged runs: the database was replaced. */
  check(): Promise<void>;

  /** See `RunStore.probe`. */
  probe?(): Promise<void>;

  /** See `RunStore.backup`. */
  backup?: NonNullable<RunStore["backup"]>;

  /** Ends the backups under way: closing does not wait for their completion. */
  endBackups?(): void;

  /**
   * Closes the database. Rejects every pending `sync` with `error`. `stepMs` is called before each step
   * and returns how many milliseconds the step may take. A step that takes longer is abandoned.
   */
  close(error: RunStoreError, stepMs: () => number): Promise<void>;

  status(): BackendStatus;
}

/** What a backend tells of threads. Each method sees only the threads of the request's scope. */
export interface ThreadReads {
  /** A page of threads, newest first, and of those of one moment by descending id. */
  list(request: ListThreadsRequest): Promise<ListThreadsMessage>;

  get(request: ReadThreadRequest): Promise<ReadThreadMessage>;

  /** A page of the stored runs of a thread, oldest first. */
  runs(request: ListRunsRequest): Promise<ListRunsMessage>;

  /** See `ThreadStore.holders`. */
  holders(request: HoldersRequest): Promise<Holders>;
}

export interface PurgeWatch {
  readonly onProgress: (done: PurgeResult) => void;
  /** Ends the purge early. */
  readonly signal: AbortSignal | undefined;
}

/** Long work on threads. What is resolved is durable. */
export interface ThreadWrites {
  /** See `ThreadStore.delete`. */
  deleteThread(request: DeleteThreadRequest): Promise<void>;

  /** See `ThreadStore.fork`. */
  forkThread(request: ForkThreadRequest): Promise<void>;

  /** See `ThreadStore.erase`. */
  erase(request: EraseThreadsRequest): Promise<EraseResult>;

  /** See `ThreadStore.purge`. */
  purge(request: PurgeThreadsRequest, watch: PurgeWatch): Promise<PurgeResult>;
}

export interface CommittedBatch {
  /** One result per operation, in the order of the operations. */
  readonly results: readonly OpResult[];
}

export interface BackendStatus {
  /** Whether the database was ever open. If not, this instance holds no thread in it. */
  readonly opened: boolean;
  /** See `StoreStats.walBytes`. */
  readonly walBytes: number;
  /** The last failure outside `commit`, or null. */
  readonly lastError: RunStoreError | null;
}

/** Makes commits survive power loss. */
export interface Durability {
  /**
   * Resolves when everything committed before this call is durable. A failure is retried. `onStalled` is
   * called once when retries keep failing. Rejects when the commits can never become durable.
   */
  sync(onStalled: (error: RunStoreError) => void): Promise<void>;

  /** Resolves when no `sync` is pending. */
  idle(): Promise<void>;
}

/** What a backend reports without being asked. */
export type BackendNotice =
  /** Another instance has written, or this instance has ended the runs of a dead instance. */
  | { readonly kind: "changed" }
  /** Another instance asks a run of this instance to end. With `discard`, the run stores nothing. */
  | (RunKey & { readonly kind: "stop"; readonly discard: boolean })
  /** Runs that a crash ended, and that no live instance has taken. Repeated until they are taken or settled. */
  | { readonly kind: "interrupted"; readonly runs: readonly OfferedRun[] }
  /** This instance was suspended for longer than its lease: its runs may have been taken over. */
  | { readonly kind: "overslept" }
  /** The database is lost: nothing more is stored, and the runs stored so far cannot be verified. */
  | { readonly kind: "lost"; readonly error: RunStoreError };
