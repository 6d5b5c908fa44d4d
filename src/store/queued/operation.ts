import type { RunStoreError } from "../../protocol/errors.ts";
import type { OpResult, WriterOp } from "../../protocol/messages.ts";

/** An operation that waits for its result. */
export interface QueuedOperation {
  readonly op: WriterOp;
  readonly bytes: number;
  /** The operation's number, from 1. Operations are sent in this order. */
  readonly order: number;
  /** Milliseconds of `performance.now()`. */
  readonly queuedAt: number;
  readonly resolve: (result: OpResult) => void;
  readonly reject: (error: RunStoreError) => void;
  /** Called once when storing keeps failing. Null after that call, and when the caller gave none. */
  onStalled: ((error: RunStoreError) => void) | null;
}
