/** A run that a crash ended, and that may be taken. */
export interface OfferedRun {
  readonly threadId: string;
  /** The number of the run in the store, for `ClaimRequest.rerunOf`. No other run ever has it. */
  readonly row: number;
  /** How many times the run was taken before, by whomever. */
  readonly attempt: number;
}

/** A run that was taken in order to run it again. */
export interface TakenRun {
  readonly runId: string;
  readonly agentId: string | null;
  /** Whose thread it is. Null for a thread of nobody. */
  readonly resourceId: string | null;
  /** Milliseconds since the epoch when the run first took its thread. */
  readonly startedAt: number;
  /**
   * The run's whole input: the messages that its client held when it asked for the run, and the other fields
   * as they were stored.
   */
  readonly input: object;
}

/**
 * The runs that a crash ended, for whoever runs them again.
 *
 * A run is offered once it is recovered: when its process died after the run was journaled, and nobody had
 * asked it to stop. Of all stores on the data, one can take it. It is offered again when that store dies
 * before it made the claim of the rerun, and when a crash ends the rerun. `attempt` counts that.
 *
 * A run is offered no more when it was settled, when a rerun was finished or released, and when any other
 * run has taken the thread.
 */
export interface InterruptedRuns {
  /**
   * From now on, `onOffered` is called with the runs that may be taken, again and again until they are taken
   * or settled.
   */
  offerTo(onOffered: (runs: readonly OfferedRun[]) => void): void;

  /**
   * Takes a run, so that it is offered to nobody else while this store lives. Null when another store has
   * it, when the thread has gone on, or when what was stored of the run is gone.
   */
  take(run: OfferedRun): Promise<TakenRun | null>;

  /** Has a run offered no more. False when it was not offered any more, or another store has taken it. */
  settle(run: OfferedRun): Promise<boolean>;
}
