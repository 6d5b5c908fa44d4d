import type { RunStoreError } from "../../protocol/errors.ts";
import type { OpResult, WriterOp } from "../../protocol/messages.ts";

/** An operation that waits for its result. */
export interface QueuedOperation {
  readonly op: WriterOp;
  readonly bytes: number;
  /** Counts the operations: operations leave in this order. */
  readonly order: number;
  /** Milliseconds of `performance.now()`. */
  readonly queuedAt: number;
  readonly resolve: (result: OpResult) => void;
  readonly reject: (error: RunStoreError) => void;
  /** Called once when storing keeps failing; null after that, and where nobody wants to know. */
  onStalled: ((error: RunStoreError) => void) | null;
}
