import type { Batch } from "../../protocol/messages.ts";

/**
 * Operations of a batch that the writer syncs, at most. With more of them, the main thread syncs while the writer
 * goes on with the next batch.
 */
const MAX_OPS = 4;

/** Whether the writer should sync a batch: it stores a run, and the writer has nothing else to do. */
export function isSyncedByWriter({ ops, isAlone }: Batch): boolean {
  return isAlone && ops.length <= MAX_OPS && ops.some(({ kind }) => kind === "finish");
}
