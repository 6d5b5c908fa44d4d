import type { MessageDigest } from "../events/message-digests.ts";

/** What the compactor thread is asked. */
export type CompactorRequest =
  /** Compact a journaled run. */
  | {
      readonly kind: "compact";
      readonly input: string | null;
      readonly segments: readonly string[];
    }
  /** Cut the events of a stored run into JSON arrays that fit a page. */
  | { readonly kind: "cut"; readonly events: string };

export interface CompactedRun {
  /** JSON array of events. */
  readonly events: string;
  readonly messages: readonly MessageDigest[];
}

export type CompactorReply = CompactedRun | readonly string[];
