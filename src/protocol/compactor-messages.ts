import type { MessageDigest } from "../events/message-digests.ts";
import type { PackedPieces } from "../events/shared/pieces.ts";
import type { PlacesRow, StoredEventsRow, StoredInputRow } from "../events/shared/places.ts";
import type { LargeEvent } from "../events/shared/repeating.ts";
import type { Chunk } from "../events/shared/thread-values.ts";
import type { FoundRunInput, SameMessages, ViewMessage } from "./messages.ts";
import type { StoredRunFacts, ThreadFacts } from "./thread-messages.ts";

/** What the compactor thread is asked. */
export type CompactorRequest =
  /** Compact a journaled run. */
  | {
      readonly kind: "compact";
      readonly input: string | null;
      readonly segments: readonly string[];
    }
  /** Compact a piece of a long run, and keep it in the thread. The first piece has the input of the run. */
  | ({ readonly kind: "ahead" } & PieceOfRun)
  /** Compact the rest of such a run. Answered by null if the thread has lost the pieces before. */
  | ({ readonly kind: "rest" } & PieceOfRun)
  | ({ readonly kind: "facts" } & FactsRequest)
  | ({ readonly kind: "input" } & WholeInputRequest)
  | ({ readonly kind: "cut" } & CutRequest)
  | ({ readonly kind: "read" } & ReadEventsRequest)
  | ({ readonly kind: "view" } & ViewStepRequest)
  /** Take the values out that repeat from run to run. Answered by a `SharedThread` or null for each thread. */
  | { readonly kind: "share"; readonly threads: readonly ThreadToShare[] }
  | ({ readonly kind: "sweep" } & SweepRequest);

/** Segments of the journal of a run. */
export interface PieceOfRun {
  /** Names the run. */
  readonly run: string;
  /** How many segments come before. */
  readonly from: number;
  readonly input: string | null;
  readonly segments: readonly string[];
}

/** Rows of the logs that hold a thread's values: those that the request needs. */
interface WithChunks {
  readonly chunks: readonly Chunk[];
}

/** Put the values of a stored run back, and cut its events into JSON arrays that fit a page. */
export interface CutRequest extends WithChunks {
  readonly run: StoredEventsRow;
  readonly forReplay: boolean;
}

/** Put the values of a stored run back. Answered by the JSON of its events, "" if it cannot be read. */
export interface ReadEventsRequest extends WithChunks {
  readonly run: StoredEventsRow;
}

/** Add runs to the view of a thread. */
export interface ViewStepRequest extends WithChunks {
  readonly threadId: string;
  /** The view so far, packed. Null for a view without runs. */
  readonly start: Uint8Array | null;
  readonly runs: readonly (StoredEventsRow & { readonly runId: string })[];
  /** After how many of these runs the view is that of `ViewRequest.since`. Null if it is after none. */
  readonly runsToSince: number | null;
  /** `ViewStep.length` of the step before. */
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
  /** UTF-16 units of runs that were added, in all steps. */
  readonly length: number;
  /** False when `start` was no view: another program has written it. */
  readonly isRestored: boolean;
}

/** What the values of a thread are. */
export interface ValueState {
  /** Names them: see `SharedRuns`. */
  readonly version: number;
  /** The number of the last log that the thread opened. */
  readonly lastLog: number;
}

/** Runs of one thread that are about to be stored, in order. */
export interface ThreadToShare extends ValueState {
  readonly threadId: string;
  readonly runs: readonly RunToShare[];
  /** Null unless a first answer was null. */
  readonly stored: LatestValues | null;
}

export interface RunToShare {
  /** JSON array of events. */
  readonly events: string;
  readonly large: readonly LargeEvent[];
  /** JSON of the RunAgentInput. */
  readonly input: string;
}

/** The latest value of each slot of a thread, and the lengths of the logs with their pieces. */
export interface LatestValues extends WithChunks {
  readonly values: readonly {
    readonly slot: string;
    readonly packed: PackedPieces;
    readonly cost: number;
  }[];
  readonly logEnds: readonly (readonly [log: number, end: number])[];
}

/** What is to be stored of runs, and what is to be appended to the logs of their thread. */
export interface SharedThread extends WithChunks {
  readonly runs: readonly SharedRun[];
  /** Null if the runs have no values. */
  readonly state: ValueState | null;
}

export interface SharedRun {
  readonly events: string;
  readonly input: string;
  /** JSON array of places, or null. */
  readonly sharedEvents: string | null;
  readonly sharedInput: string | null;
}

/** Find the texts in the logs of a thread that none of its runs uses. Answered by a `Sweep`. */
export interface SweepRequest {
  /** Of all runs of the thread that have values. */
  readonly runs: readonly PlacesRow[];
  /** All rows of its logs, without their texts. */
  readonly rows: readonly LogRow[];
  /** See `LiveParts`. Null for the default. */
  readonly maxGap: number | null;
}

/** A row of a log, without its text. Lengths and positions in UTF-16 units. */
export interface LogRow {
  readonly log: number;
  readonly at: number;
  readonly length: number;
}

/** Rows that are not used as they are, each with its parts that are: positions within the row. */
export type Sweep = readonly {
  readonly log: number;
  readonly at: number;
  readonly kept: readonly { readonly from: number; readonly to: number }[];
}[];

export interface CompactedRun {
  /** JSON array of events. */
  readonly events: string;
  /** The events among them that may repeat values of other runs. */
  readonly large: readonly LargeEvent[];
  readonly messages: readonly MessageDigest[];
}

/** A stored run, as it was read for the facts of its thread. */
export interface RunOfFacts extends StoredRunFacts {
  /** JSON array, without shared values. Null for a run that is too long. */
  readonly events: string | null;
  readonly shared_events: string | null;
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
    readonly chunks: readonly Chunk[];
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
export interface WholeInputRequest extends WithChunks {
  readonly threadId: string;
  readonly runId: string;
  /** The view before the run. */
  readonly view: Pick<ViewMessage, "rest" | "messages">;
  readonly run: StoredEventsRow & StoredInputRow;
}

export type CompactorReply =
  | boolean
  | null
  | readonly FactsOfThread[]
  | FoundRunInput
  | CompactedRun
  | CutRow
  | string
  | ViewStep
  | readonly (SharedThread | null)[]
  | Sweep;

/** The events of a stored run, as JSON arrays that are each at most a page long. */
export interface CutRow {
  readonly chunks: readonly string[];
  /** Whether events were left out. */
  readonly trimmed: boolean;
}
