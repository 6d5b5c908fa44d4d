import type { ThreadHolder } from "./holder.ts";

/** The facts that decide a claim. */
export interface ClaimFacts {
  /** The instance that claims the thread. */
  readonly instanceId: string;
  /** The number of its claim. */
  readonly claimNumber: number;
  /** Null when the thread is free. */
  readonly holder: ThreadHolder | null;
}

export type ClaimDecision =
  /** The thread is free: take it, in a new epoch. */
  | { readonly kind: "take" }
  /** The claim was committed before, and its answer was lost: give the same answer again. */
  | { readonly kind: "repeat"; readonly epoch: number }
  /** The run that holds the thread executes no more: end that run, then take the thread. */
  | { readonly kind: "recover" }
  /** A run of a live owner holds the thread. */
  | { readonly kind: "refuse" };

/**
 * Decides a claim of a thread.
 *
 * A run of the claiming instance never leads to a refusal. An instance claims a thread only when none
 * of its own runs is active there. So a run of this instance that holds the thread is an orphan, or was
 * made by this same claim.
 */
export function decideClaim({ instanceId, claimNumber, holder }: ClaimFacts): ClaimDecision {
  if (holder === null) return { kind: "take" };
  if (holder.ownerId === instanceId) {
    const isRepeated = holder.claimNumber === claimNumber && holder.epoch !== null;
    return isRepeated ? { kind: "repeat", epoch: holder.epoch } : { kind: "recover" };
  }
  return { kind: holder.isAlive ? "refuse" : "recover" };
}

/**
 * Whether a claim for a resource may take a thread. `owner` is the resource of the thread, null for a
 * thread of nobody, or undefined for a new thread: that one goes to the resource of its first claim.
 */
export function belongsTo(owner: string | null | undefined, resourceId: string | null): boolean {
  return owner === undefined || owner === resourceId;
}
