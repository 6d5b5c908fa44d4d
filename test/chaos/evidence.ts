import type { EventLike } from "../../src/events/event.ts";
import type { ProcessHistory } from "./load-process.ts";
import type { RunHistory } from "./runs.ts";
import type { StoreSnapshot } from "./snapshot.ts";

/** Something that must hold and does not. */
export interface Violation {
  readonly rule: string;
  readonly expected: string;
  readonly seen: string;
}

export interface Expectations {
  /** Processes that may lose runs to others, because they slept. */
  readonly losers?: readonly string[];
  /** Processes are to find that their file is lost, and may say so to those who connect. */
  readonly losesFile?: boolean;
  /** Storing fails for so long that runs are refused, or told that they could not be stored. */
  readonly stalls?: boolean;
  /** Runs that were in the file before the round. */
  readonly oldRuns?: number;
}

/** All that is known of a round when it is over. */
export interface RoundFacts {
  readonly processes: readonly ProcessHistory[];
  /** The file when all processes of the load had ended. */
  readonly before: StoreSnapshot;
  /** The file when a fresh process had opened it, used every thread, and closed it. */
  readonly after: StoreSnapshot;
  readonly expectations: Expectations;
}

/** The same, put in order. */
export interface Evidence extends RoundFacts {
  readonly runs: readonly RunHistory[];
  readonly stored: ReadonlyMap<string, readonly EventLike[]>;
}
