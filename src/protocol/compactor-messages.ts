import type { MessageDigest } from "../events/message-digests.ts";
import type { FoundRunInput, ViewMessage } from "./messages.ts";
import type { StoredRunFacts, ThreadFacts } from "./thread-messages.ts";

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
  | ({ readonly kind: "view" } & ViewStepRequest)
  | ({ readonly kind: "facts" } & FactsRequest)
  | ({ readonly kind: "input" } & WholeInputRequest);

/** Add runs to the view of a thread. */
export interface ViewStepRequest {
  readonly threadId: string;
  /** The view so far, packed. Null for a view without runs. */
  readonly start: Uint8Array | null;
  /** `events` is a JSON array. */
  readonly runs: readonly { readonly runId: string; readonly events: string }[];
  /** UTF-16 units of runs that were added in earlier steps. */
  readonly lengthBefore: number;
  readonly isLast: boolean;
}

/** A view, as in `ViewMessage`. A step that is not the last has it packed. */
export interface ViewStep {
  readonly rest: string;
  readonly messages: readonly string[];
  readonly packed: Uint8Array | null;
  /** False when `start` was no view: another program has written it. */
  readonly isRestored: boolean;
}

export interface CompactedRun {
  /** JSON array of events. */
  readonly events: string;
  readonly messages: readonly MessageDigest[];
}

/** A stored run, as it was read for the facts of its thread. */
export interface RunOfFacts extends StoredRunFacts {
  /** JSON array. Null for a run that is too long. */
  readonly events: string | null;
  /** The end of that JSON, where `events` is null. */
  readonly tail: string | null;
}

/** Add runs to the facts of threads. */
export interface FactsRequest {
  readonly threads: readonly {
    /** JSON of the facts so far. Null for none. */
    readonly facts: string | null;
    /** In the order of their epochs. */
    readonly runs: readonly RunOfFacts[];
  }[];
  /** Whether the words of the runs are asked for, too. */
  readonly withWords: boolean;
}

/** The facts of a thread after the runs of a request, and the words of these runs. */
export interface FactsOfThread {
  readonly facts: ThreadFacts;
  readonly words: readonly string[];
}

/** Make the whole input of a stored run, of which only the messages that were new are stored. */
export interface WholeInputRequest {
  readonly threadId: string;
  readonly runId: string;
  /** The view before the run. */
  readonly view: Pick<ViewMessage, "rest" | "messages">;
  /** JSON array. */
  readonly events: string;
  /** JSON of the input as it is stored. */
  readonly input: string;
}

export type CompactorReply =
  | CompactedRun
  | readonly string[]
  | ViewStep
  | readonly FactsOfThread[]
  | FoundRunInput;
