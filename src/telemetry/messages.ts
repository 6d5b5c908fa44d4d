import type { EventLike } from "../events/event.ts";
import type { ModelUsage } from "../events/usage.ts";
import type { RunStoreError } from "../protocol/errors.ts";
import type { PurgeResult } from "../protocol/threads.ts";

/**
 * What became of a run, as its stream has told it.
 *
 * - `"active"`: it waits or executes.
 * - `"finished"`: its last event is a RUN_FINISHED; `"interrupt"`: one that asks its user something.
 * - `"stopped"`: it was told to stop, or its runner was closed.
 * - `"superseded"`: another run took its place, and nothing of it is stored.
 * - `"refused"`: it did not begin.
 * - `"error"`: its last event is a RUN_ERROR.
 */
export type RunStatus =
  | "active"
  | "finished"
  | "interrupt"
  | "stopped"
  | "superseded"
  | "refused"
  | "error";

/**
 * A run, on the tracing channel `CHANNELS.run`: one object for all messages about a run. The fields that are not
 * readonly are set by the runner as the run goes on. Others may add fields of their own.
 */
export interface RunTelemetry {
  readonly threadId: string;
  readonly runId: string;
  /** The `agentId` of the agent, or null. */
  readonly agentId: string | null;
  /** Whose run it is. Null for a run of nobody. */
  readonly resourceId: string | null;
  /** False for a run that `storeRun` has refused: it has no epoch. */
  readonly isStored: boolean;
  /** Whether `onInterrupted` runs the agent again after a crash. */
  readonly isRerun: boolean;
  /** When the run was asked for, in milliseconds since the epoch. */
  readonly requestedAt: number;
  /** Milliseconds until the agent was called: the run waited for its thread. Null before that. */
  waitedMs: number | null;
  /** The number of the run on its thread. Null before the store has given it. */
  epoch: number | null;
  status: RunStatus;
  /** Events emitted so far. */
  events: number;
  /** What the agent told of its tokens at the end, an entry a model. Empty before that, or if it told nothing. */
  usage: readonly ModelUsage[];
  /** The `code` of the RUN_ERROR that ended the run, or null. */
  errorCode: string | null;
  /** With status "error" and "refused": the message of the RUN_ERROR. */
  error?: Error;
}

/** An event of a run, in the tick in which its subscribers get it. */
export interface EventTelemetry {
  readonly run: RunTelemetry;
  /** The object that the subscribers of the run get. Do not change it. */
  readonly event: EventLike;
}

/** A batch that was acknowledged. */
export interface BatchTelemetry {
  /** Null for a store that has no name. */
  readonly instanceId: string | null;
  readonly operations: number;
  /** Bytes of JSON in the batch. */
  readonly bytes: number;
  /** Milliseconds from sending the batch to its acknowledgement. */
  readonly commitMs: number;
  /** Milliseconds for which its oldest operation waited, until the acknowledgement. */
  readonly lagMs: number;
}

/** Runs whose process died were ended. */
export interface RecoveryTelemetry {
  readonly instanceId: string;
  readonly runs: number;
  /** Why a further run could not be ended, or null. */
  readonly error: RunStoreError | null;
}

/** A purge by the option `retention`. */
export interface RetentionTelemetry {
  /** What it has removed. Null if it failed. */
  readonly removed: PurgeResult | null;
  readonly ms: number;
  /** Why it failed, or null. It is tried again. */
  readonly error: RunStoreError | null;
}

/** A lease came to its end, against the will of its holder. */
export type LeaseTelemetry =
  /** A run lost its thread to another process, and ends with `LEASE_LOST`. */
  | {
      readonly kind: "lost";
      readonly instanceId: string | null;
      readonly threadId: string;
      readonly runId: string;
      readonly epoch: number;
    }
  /** This process slept for longer than its lease: each of its runs asks whether it still has its thread. */
  | { readonly kind: "overslept"; readonly instanceId: string | null };

/** What the `logger` of a runner gets as a warning or an error. */
export interface ErrorTelemetry {
  readonly level: "warn" | "error";
  readonly message: string;
  /** The code of the error, or null. */
  readonly code: string | null;
  /** The fields of the log line, such as `err`, `threadId` and `runId`. */
  readonly fields: object;
}
