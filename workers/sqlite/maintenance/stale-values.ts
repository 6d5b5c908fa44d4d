import type { WriterContext } from "../runs/writer-context.ts";
import {
  prepareSweepStatements,
  prepareUnfinishedLogStatements,
  type SweepStatements,
  type UnfinishedLogStatements,
} from "../values/statements.ts";
import { sweepThread } from "../values/sweep-values.ts";
import { sweepUnfinishedLogs } from "../values/unfinished-logs.ts";

/** Milliseconds after which a sweep leaves the remaining threads to the next sweep. */
const MAX_SWEEP_MS = 20;

/** Threads per sweep at most. */
const MAX_THREADS = 100;

/**
 * Sweeps the values of threads whose runs were deleted or changed by another program, and the parts of runs that were
 * not stored with them.
 */
export class StaleValues {
  readonly #context: WriterContext;
  readonly #statements: SweepStatements;
  readonly #unfinished: UnfinishedLogStatements;

  constructor(context: WriterContext) {
    this.#context = context;
    this.#statements = prepareSweepStatements(context.db);
    this.#unfinished = prepareUnfinishedLogStatements(context.db);
  }

  /** Each thread has a transaction of its own, so that the other instances can write in between. */
  sweep(): void {
    const until = performance.now() + MAX_SWEEP_MS;
    const sweepOne = this.#context.db.transaction((threadId: string) => {
      sweepThread(this.#statements, threadId);
    });
    for (const threadId of this.#statements.staleThreads.all(MAX_THREADS)) {
      sweepOne.immediate(threadId);
      if (performance.now() > until) return;
    }
    const sweepLogs = this.#context.db.transaction(() => sweepUnfinishedLogs(this.#unfinished));
    // A read first: a transaction that finds nothing would take the lock of the file for it.
    while (this.#unfinished.unfinishedLog.get() !== undefined && performance.now() <= until) {
      sweepLogs.immediate();
    }
  }
}
