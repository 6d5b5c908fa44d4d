import type { RunStoreError } from "../../protocol/errors.ts";
import type {
  Batch,
  HistoryPageMessage,
  KeepViewRequest,
  LookMessage,
  LookRequest,
  OpResult,
  PageRequest,
  RunningMessage,
  ViewMessage,
  ViewRequest,
} from "../../protocol/messages.ts";
import type { RunKey } from "../../protocol/run-key.ts";
import type { RunStore } from "../run-store.ts";

/**
 * What a `QueuedRunStore` needs of a database.
 *
 * Everything rejects with a `RunStoreError`. Its code says whether the same may succeed later.
 */
export interface Backend {
  /** Called once, before everything else: who is to be told what the backend finds out by itself. */
  onNotice(listener: (notice: BackendNotice) => void): void;

  /** Opens the database. Resolves at once when it is open; tries again when it could not be opened. */
  open(): Promise<void>;

  /**
   * Commits a batch, in one transaction; opens the database first. An operation that fails has a fault
   * for its result and fails no other one. Rejects when nothing of the batch was committed, or nobody
   * knows: then the batch may be sent again, so every operation is idempotent. A batch that names one
   * before it (`after`) is refused unless that one was committed. The code `WRITER_DIED` says that the
   * batch may be what ended the writer; `NO_WRITER` says that the batch was not sent.
   */
  commit(batch: Batch): Promise<CommittedBatch>;

  /** One page of a thread's finished runs. Reads open the database first. */
  readPage(request: PageRequest): Promise<HistoryPageMessage>;

  /** The view of a thread after the runs up to a row, which a first page named in `views`. */
  readView?(request: ViewRequest): Promise<ViewMessage>;

  /** Keeps a view, so that it need not be made again. Called when making it was much work. */
  keepView?(request: KeepViewRequest): Promise<void>;

  /** The run that holds a thread, if its owner is alive and it was not told to stop. */
  running(threadId: string): Promise<RunningMessage>;

  /** What other instances did, as far as someone here waits for it. */
  look(request: LookRequest): Promise<LookMessage>;

  /** Someone begins to wait for what other instances do: `changed` is wanted soon from now on. */
  watch(): void;

  /** Null when all that was committed is as durable as it is to get. */
  readonly durability: Durability | null;

  /** Rejects when what was acknowledged is not what others find in the database. */
  check(): Promise<void>;

  /** See `RunStore.backup`. */
  backup?: NonNullable<RunStore["backup"]>;

  /** Ends the backups under way: closing does not wait for them. */
  endBackups?(): void;

  /**
   * Lets go of everything. Ends the wait for durability with `error`. A step that hangs is left after
   * `stepMs`, which is asked before each.
   */
  close(error: RunStoreError, stepMs: () => number): Promise<void>;

  status(): BackendStatus;
}

export interface CommittedBatch {
  /** For each operation, in order. */
  readonly results: readonly OpResult[];
}

export interface BackendStatus {
  /** Whether the database was open at any time: one that was not holds no thread of ours. */
  readonly opened: boolean;
  /** See `StoreStats.walBytes`. */
  readonly walBytes: number;
  /** The last failure beside those of `commit`, or null. */
  readonly lastError: RunStoreError | null;
}

/** Makes what was committed survive power loss. */
export interface Durability {
  /**
   * Resolves when all that was committed before is durable. `onStalled` is called, once, when that
   * keeps failing: it goes on being tried. Rejects when it can never be.
   */
  sync(onStalled: (error: RunStoreError) => void): Promise<void>;

  /** Resolves when nobody waits any more. */
  idle(): Promise<void>;
}

/** What a backend finds out by itself. */
export type BackendNotice =
  /** Another instance has written, or the runs of a dead one were ended here. */
  | { readonly kind: "changed" }
  /** Another instance wants a run of this one to end; with `discard`, to leave nothing behind. */
  | (RunKey & { readonly kind: "stop"; readonly discard: boolean })
  /** This instance was asleep for longer than its lease: its runs may have been taken over. */
  | { readonly kind: "overslept" }
  /** Nothing is stored any more, and nothing that was stored can be shown to be there. */
  | { readonly kind: "lost"; readonly error: RunStoreError };
