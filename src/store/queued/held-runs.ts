import type { RunKey } from "../../protocol/run-key.ts";

export interface HeldRun extends RunKey {
  /** The run's place in `HeldRuns`, which alone writes it. -1 at first. */
  heldAt: number;
}

/**
 * The runs that hold a thread for a store.
 *
 * A list and not a map, which would be slower here: a map that entries come to and leave all the
 * time grows a new table now and then, and the old one, once it is in V8's old space, keeps the
 * new one and all runs in it from being collected until the next major collection. With one, the
 * event loop was late by twice as much under load. Runs are looked up only on behalf of others.
 */
export class HeldRuns<Run extends HeldRun> implements Iterable<Run> {
  readonly #runs: Run[] = [];

  add(run: Run): void {
    run.heldAt = this.#runs.length;
    this.#runs.push(run);
  }

  /** Removing a run that is not held does nothing. */
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
