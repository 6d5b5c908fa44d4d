import { RunStoreError } from "../../protocol/errors.ts";
import type { StopOp } from "../../protocol/messages.ts";
import type { Batcher } from "./batcher.ts";

/** Asks the run of another instance to stop. Whether there is such a run, and was not asked before. */
export async function requestStop(
  batcher: Batcher,
  request: Omit<StopOp, "kind">,
): Promise<boolean> {
  const result = await batcher.enqueue({ kind: "stop", ...request });
  if (!result.ok) throw RunStoreError.from(result.fault);
  return result.stopped;
}

/**
 * Tells the run that holds a thread in `epoch` to end and to store nothing. This may be committed late: a later run
 * of the thread is not meant.
 */
export function requestEnd(
  batcher: Batcher,
  run: Pick<StopOp, "threadId" | "scope"> & { readonly epoch: number },
): Promise<boolean> {
  return requestStop(batcher, { ...run, runId: null, discard: true });
}
