import type { EventLike } from "../../src/events/event.ts";
import type { ProcessHistory } from "./load-process.ts";
import type { RunHistory } from "./runs.ts";
import type { StoreSnapshot } from "./snapshot.ts";

/** A broken rule. */
export interface Violation {
  readonly rule: string;
  readonly expected: string;
  readonly seen: string;
}

export interface Expectations {
  /** Processes that may lose runs to others, because they were suspended or cut off. */
  readonly losers?: readonly string[];
  /** Whether processes lose their file, and may report that to connecting clients. */
  readonly losesFile?: boolean;
  /** Whether storing fails for so long that runs are refused, or end with PERSISTENCE_FAILED. */
  readonly stalls?: boolean;
  /** Runs that were in the store before the round. */
  readonly oldRuns?: number;
}

/** Everything that is known of a round at its end. */
export interface RoundFacts {
  readonly processes: readonly ProcessHistory[];
  /** The store when all processes of the load had ended. */
  readonly before: StoreSnapshot;
  /** The store after a fresh process opened it, used every thread, and closed it. */
  readonly after: StoreSnapshot;
  readonly expectations: Expectations;
}

/** The same records as runs, sorted. */
export interface Evidence extends RoundFacts {
  readonly runs: readonly RunHistory[];
  readonly stored: ReadonlyMap<string, readonly EventLike[]>;
}
