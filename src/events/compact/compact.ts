import { type EventLike, isTerminal } from "../event.ts";
import { OpenParts, unfinished } from "../lifecycle/open-parts.ts";
import { DeltaMerger } from "./compact-deltas.ts";
import { StateFold } from "./compact-state.ts";

/**
 * The events as which a run is stored. Deltas are merged, the state is folded into one snapshot, open
 * parts are closed before the terminal event, and nothing follows the terminal event. A client gets the
 * same messages and the same state from them. `base.state` is the state of the thread before the run.
 *
 * The content of a run must never keep it from being stored. So if compaction fails, the events are
 * returned unchanged, and `base.onFailure` gets the error.
 */
export function compactRun(
  events: readonly EventLike[],
  base: { readonly state?: unknown; readonly onFailure?: (error: unknown) => void },
): readonly EventLike[] {
  try {
    const compactor = new RunCompactor(base.state);
    for (const event of events) compactor.add(event);
    return compactor.finish();
  } catch (error) {
    base.onFailure?.(error);
    return events;
  }
}

/** Compacts a run event by event, so that a long run can be read in pieces. */
export class RunCompactor {
  readonly #out: EventLike[] = [];
  readonly #parts = new OpenParts();
  readonly #deltas = new DeltaMerger();
  readonly #state: StateFold;

  /** `baseState` is the state of the thread before the run. */
  constructor(baseState: unknown) {
    this.#state = new StateFold(baseState);
  }

  /** Adds the run's next event. An error that a getter of the event throws is thrown on. */
  add(event: EventLike): void {
    if (event.type === "RUN_STARTED") {
      this.#state.flush(this.#out);
      this.#state.startRun(event);
    } else if (this.#parts.ended) {
      return;
    } else if (event.type === "STATE_SNAPSHOT" || event.type === "STATE_DELTA") {
      this.#state.add(event);
      return;
    } else if (isTerminal(event)) {
      for (const closer of this.#parts.close(unfinished)) this.#out.push(closer);
      this.#state.flush(this.#out);
    }
    this.#parts.observe(event);
    this.#deltas.add(event, this.#out);
  }

  /** Removes and returns the first compacted events, as far as later events cannot change them. */
  takeSettled(): readonly EventLike[] {
    const count = this.#deltas.settled(this.#out);
    this.#deltas.shift(count);
    return this.#out.splice(0, count);
  }

  /** The compacted events of the whole run, without those that were taken. */
  finish(): readonly EventLike[] {
    this.#state.flush(this.#out);
    return this.#out;
  }
}
