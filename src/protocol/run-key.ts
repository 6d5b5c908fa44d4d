/**
 * What a run is known by: its thread, and the epoch, which is the number of the claim. A `runId`
 * does not tell runs apart: clients make those, and send the same one again.
 */
export interface RunKey {
  readonly threadId: string;
  readonly epoch: number;
}

/** The two as one string, for maps. */
export function keyOf({ threadId, epoch }: RunKey): string {
  return `${epoch} ${threadId}`;
}
