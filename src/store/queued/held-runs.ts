import type { RunKey } from "../../protocol/run-key.ts";
import type { ClaimRequest } from "../run-store.ts";
import type { RunBuffer } from "./run-buffer.ts";

export interface HeldRun {
  readonly buffer: RunBuffer;
  readonly onStopRequested: ClaimRequest["onStopRequested"];
}

/**
 * The runs that hold a thread for a store.
 *
 * A list and not a map, which would be slower here: a map that entries come to and leave all the
 * time grows a new table now and then, and the old one, once it is in V8's old space, keeps the
 * new one and all runs in it from being collected until the next major collection. With one, the
 * event loop was late by twice as much under load. Runs are looked up only on behalf of others.
 */
export class HeldRuns implements Iterable<HeldRun> {
  readonly #runs: HeldRun[] = [];

  add(run: HeldRun): void {
    run.buffer.heldAt = this.#runs.length;
    this.#runs.push(run);
  }

  /** Removing a run that is not held does nothing. */
  remove(buffer: RunBuffer): void {
    const at = buffer.heldAt;
    if (this.#runs[at]?.buffer !== buffer) return;
    const last = this.#runs.pop();
    if (last === undefined || last.buffer === buffer) return;
    this.#runs[at] = last;
    last.buffer.heldAt = at;
  }

  find({ threadId, epoch }: RunKey): HeldRun | undefined {
    return this.#runs.find(({ buffer }) => buffer.threadId === threadId && buffer.epoch === epoch);
  }

  [Symbol.iterator](): Iterator<HeldRun> {
    return this.#runs[Symbol.iterator]();
  }
}
