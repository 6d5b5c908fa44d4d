import type { StoreFault } from "./errors.ts";

/**
 * Every message between the main thread and the writer and reader threads.
 *
 * A request is answered by a `Reply`: a value, or a fault. Nothing is thrown across the boundary.
 * All JSON travels as strings, which are copied, not cloned field by field.
 */

/** How a worker reaches its database; handed over as `workerData`. */
export interface WorkerConfig {
  /** Absolute path of the file, or `":memory:"`. */
  readonly dbPath: string;
  /** This runner's name in `runner_instances` and `run_state.owner_id`. */
  readonly instanceId: string;
  /** Milliseconds after which an instance without a heartbeat counts as dead. */
  readonly leaseMs: number;
  /** Whether a batch that completes a run is fsynced. */
  readonly durability: "full" | "normal";
}

/** Take the thread for a run. Idempotent for one `runId` of one instance. */
export interface ClaimOp {
  readonly kind: "claim";
  readonly threadId: string;
  readonly runId: string;
  /** Ids of the input's messages, to be told which the thread has stored already. */
  readonly messageIds: readonly string[];
}

/** Journal a segment of a run in flight. Idempotent by (run, epoch, seq). */
export interface AppendOp {
  readonly kind: "append";
  readonly threadId: string;
  readonly runId: string;
  readonly epoch: number;
  /** Position in the run of the segment's first event, from 0. */
  readonly seq: number;
  /** JSON array of events. */
  readonly events: string;
  /** JSON of the RunAgentInput, with a run's first segment only. */
  readonly input: string | null;
}

/** Store a run whole: its journal, then `events`. Idempotent by (run, epoch). */
export interface FinishOp {
  readonly kind: "finish";
  readonly threadId: string;
  readonly runId: string;
  readonly epoch: number;
  readonly agentId: string | null;
  /** How many segments of this run were sent before. */
  readonly segments: number;
  /** JSON array of the events that follow the journal. */
  readonly events: string;
  /**
   * The message ids in `events`, when those are the whole run and as compact as they get: then the
   * writer stores the text as it is. Null when it has to read the events.
   */
  readonly compactIds: readonly string[] | null;
  /** JSON of the RunAgentInput when it was not journaled, else null. */
  readonly input: string | null;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
}

/** Give the thread back and store nothing of the run. */
export interface ReleaseOp {
  readonly kind: "release";
  readonly threadId: string;
  readonly runId: string;
  readonly epoch: number;
}

export type WriterOp = ClaimOp | AppendOp | FinishOp | ReleaseOp;

export interface ClaimResult {
  readonly epoch: number;
  /** Which of `messageIds` are stored in the thread already, by position. */
  readonly seen: readonly boolean[];
}

/** The outcome of one operation of a batch: a fault fails it alone, not its neighbours. */
export type OpResult =
  | { readonly ok: true; readonly claim?: ClaimResult; readonly warning?: string }
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
}

/** The run that a thread's state names as running, if its owner is alive. */
export interface RunningMessage {
  readonly runId: string | null;
}

export type WriterRequest =
  | { readonly kind: "open" }
  | { readonly kind: "batch"; readonly ops: readonly WriterOp[] }
  | { readonly kind: "page"; readonly page: PageRequest }
  | { readonly kind: "running"; readonly threadId: string }
  | { readonly kind: "close" };

export interface OpenedMessage {
  /** Runs of dead processes that were finalized when the store was opened. */
  readonly recovered: number;
  /** The schema version the file had before, 0 for a new file. */
  readonly migratedFrom: number;
}

export interface BatchMessage {
  readonly results: readonly OpResult[];
}

export type ReaderRequest = Extract<WriterRequest, { kind: "page" | "running" }>;

/** Whatever a worker answers: a value, or the fault that stopped it. */
export type Reply<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: StoreFault };
