import type { Done, OpResult, WriterOp } from "../protocol/messages.ts";

/**
 * The answer of an operation without a result. One object: a reply to another thread holds it once.
 */
export const OK: Done = { ok: true };

const LEASE_LOST: OpResult<"append"> = {
  ok: false,
  fault: {
    code: "LEASE_LOST",
    message: "the thread is not held by this run any more",
  },
};

/** The answer of a backend that keeps no list of its threads. */
export const NO_THREAD_LIST: OpResult<"updateThread"> = {
  ok: false,
  fault: { code: "STORE_FAILED", message: "this database lists no threads" },
};

/** The operations of a run, which it is to hold its thread for. */
export type RunOp = Extract<WriterOp, { readonly epoch: number }>;

/**
 * The answer to an operation of a run that does not hold its thread. Nothing is left to do for an
 * operation that frees the thread. If the run is stored, any other operation was committed before, and
 * its batch was sent again: the answer is `OK`.
 */
export function answerUnheld({ kind }: RunOp, isStored: () => boolean): OpResult<RunOp["kind"]> {
  const needsThread = kind === "append" || kind === "finish" || kind === "confirm";
  return !needsThread || isStored() ? OK : LEASE_LOST;
}
