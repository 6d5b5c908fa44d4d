import type { RunKey } from "../../protocol/run-key.ts";

export interface HeldRun extends RunKey {
  /** The run's index in `HeldRuns`, which alone writes it. -1 at first. */
  heldAt: number;
}

/**
 * The runs that hold a thread for a store.
 *
 * This is a list, not a map: with a map, the event loop was late by twice as much under load. V8 replaces
 * the table of a map whose entries come and go all the time. A replaced table in V8's old space keeps
 * the new table and all its runs from being collected until the next major collection. A lookup in a
 * list is slow, but only requests of other instances need one.
 */
export class HeldRuns<Run extends HeldRun> implements Iterable<Run> {
  readonly #runs: Run[] = [];

  add(run: Run): void {
    run.heldAt = this.#runs.length;
    this.#runs.push(run);
  }

  /** Does nothing for a run that is not held. */
  remove(run: Run): void {
    const at = run.heldAt;
    if (this.#runs[at] !== run) return;
    const last = this.#runs.pop();
    if (last === undefined || last === run) return;
    this.#runs[at] = last;
    last.heldAt = at;
  }

  find({ threadId, epoch }: RunKey): Run | undefined {
    return this.#runs.find((run) => run.threadId === threadId && run.epoch === epoch);
  }

  [Symbol.iterator](): Iterator<Run> {
    return this.#runs[Symbol.iterator]();
  }
}
