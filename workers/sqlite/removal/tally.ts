import type { PurgeResult } from "../../../src/protocol/threads.ts";

/** Counts what is removed. */
export interface Counts {
  threads: number;
  runs: number;
  bytes: number;
}

/** What a purge has removed. What a transaction has removed counts when that transaction is over. */
export class Tally {
  readonly #done: Counts = { threads: 0, runs: 0, bytes: 0 };
  #open: Counts = { threads: 0, runs: 0, bytes: 0 };

  /** Begins a transaction. The one before it is over. */
  begin(): Counts {
    this.add(this.#open);
    this.#open = { threads: 0, runs: 0, bytes: 0 };
    return this.#open;
  }

  add({ threads, runs, bytes }: PurgeResult): void {
    this.#done.threads += threads;
    this.#done.runs += runs;
    this.#done.bytes += bytes;
  }

  read(): PurgeResult {
    const { threads, runs, bytes } = this.#open;
    const done = this.#done;
    return {
      threads: done.threads + threads,
      runs: done.runs + runs,
      bytes: done.bytes + bytes,
    };
  }
}
