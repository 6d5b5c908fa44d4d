import type { MessageDigest } from "../events/message-digests.ts";
import type { SameMessages } from "./messages.ts";

/** What the compactor thread is asked. */
export type CompactorRequest =
  /** Compact a journaled run. */
  | {
      readonly kind: "compact";
      readonly input: string | null;
      readonly segments: readonly string[];
    }
  /** Cut the events of a stored run into JSON arrays that fit a page. */
  | { readonly kind: "cut"; readonly events: string }
  | ({ readonly kind: "view" } & ViewStepRequest);

/** Add runs to the view of a thread. */
export interface ViewStepRequest {
  readonly threadId: string;
  /** The view so far, packed. Null for a view without runs. */
  readonly start: Uint8Array | null;
  /** `events` is a JSON array. */
  readonly runs: readonly { readonly runId: string; readonly events: string }[];
  /** After how many of these runs the view is that of `ViewRequest.since`. Null if it is after none. */
  readonly runsToSince: number | null;
  /** UTF-16 units of runs that were added in earlier steps. */
  readonly lengthBefore: number;
  /** Bytes of the view that the first step began with. Null if it began without runs. */
  readonly keptBytes: number | null;
  readonly isLast: boolean;
}

/** A view, as in `ViewMessage`. A step that is not the last has it packed. */
export interface ViewStep {
  readonly rest: string;
  readonly messages: readonly string[];
  readonly same: SameMessages | null;
  readonly packed: Uint8Array | null;
  /** False when `start` was no view: another program has written it. */
  readonly isRestored: boolean;
}

export interface CompactedRun {
  /** JSON array of events. */
  readonly events: string;
  readonly messages: readonly MessageDigest[];
}

export type CompactorReply = CompactedRun | readonly string[] | ViewStep;
