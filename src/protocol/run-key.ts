/**
 * Identifies a run: its thread and its epoch, the number of its claim on the thread. A `runId` does not
 * identify a run: clients choose it, and may use the same `runId` again.
 */
export interface RunKey {
  readonly threadId: string;
  readonly epoch: number;
}

/** The key as one string, for maps. */
export function keyOf({ threadId, epoch }: RunKey): string {
  return `${epoch} ${threadId}`;
}

/** A run that holds a thread, and whose owner is alive. */
export interface HoldingRun {
  readonly runId: string;
  readonly epoch: number;
  /** `ClaimOp.number` if it is a run of this instance, else null. */
  readonly ownClaim: number | null;
}
