import { type EventLike, isTerminal } from "../event.ts";
import { OpenParts, unfinished } from "../lifecycle/open-parts.ts";
import { DeltaMerger } from "./compact-deltas.ts";
import { StateFold } from "./compact-state.ts";

/**
 * What a run is stored as: its deltas merged, its state folded into one snapshot, its open parts
 * closed before the terminal event, nothing behind that. A client comes to the same messages and
 * the same state. `base.state` is the state of the thread before the run.
 *
 * Storing a run may not fail because of what it contains: if compaction fails, the events come
 * back as they came, and `base.onFailure` is told the error.
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

/** Compacts a run event by event, for one that is too long to be read in one go. */
export class RunCompactor {
  readonly #out: EventLike[] = [];
  readonly #parts = new OpenParts();
  readonly #deltas = new DeltaMerger();
  readonly #state: StateFold;

  /** `baseState` is the state of the thread before the run. */
  constructor(baseState: unknown) {
    this.#state = new StateFold(baseState);
  }

  /** Adds the run's next event. Throws what a getter of the event throws. */
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

  /** The compacted events of all that was added. */
  finish(): readonly EventLike[] {
    this.#state.flush(this.#out);
    return this.#out;
  }
}
