/** The claim that holds a thread. */
export interface ThreadHolder {
  /** The instance that made the claim. Null for a version 1 runner, which has no instance. */
  readonly ownerId: string | null;
  /** The number of the claim, unique for its instance. Null where it was not noted. */
  readonly claimNumber: number | null;
  readonly epoch: number | null;
  /** Whether the owner may still be executing the run: see liveness.ts. */
  readonly isAlive: boolean;
}

/** What a claim is decided by. */
export interface ClaimFacts {
  /** The instance that claims the thread. */
  readonly instanceId: string;
  /** The number of its claim. */
  readonly claimNumber: number;
  /** Null when nobody holds the thread. */
  readonly holder: ThreadHolder | null;
}

export type ClaimDecision =
  /** The thread is free: take it, in a new epoch. */
  | { readonly kind: "take" }
  /** The claim was committed before, and its answer was lost: give the same answer again. */
  | { readonly kind: "repeat"; readonly epoch: number }
  /** Nobody executes the run that holds the thread: end it, then take the thread. */
  | { readonly kind: "recover" }
  /** A run of a live owner holds the thread. */
  | { readonly kind: "refuse" };

/**
 * Decides a claim of a thread.
 *
 * A run of the instance that claims never stands in the way. An instance knows which of its runs are
 * active and claims a thread only when none is: so what holds the thread in its name is an orphan, or
 * this very claim.
 */
export function decideClaim({ instanceId, claimNumber, holder }: ClaimFacts): ClaimDecision {
  if (holder === null) return { kind: "take" };
  if (holder.ownerId === instanceId) {
    const isRepeated = holder.claimNumber === claimNumber && holder.epoch !== null;
    return isRepeated ? { kind: "repeat", epoch: holder.epoch } : { kind: "recover" };
  }
  return { kind: holder.isAlive ? "refuse" : "recover" };
}
