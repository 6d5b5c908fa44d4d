import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import type { HoldingRun } from "../../protocol/messages.ts";
import { keyOf, type RunKey } from "../../protocol/run-key.ts";
import type { Batcher } from "./batcher.ts";

interface UnstoredRun {
  readonly runId: string;
  readonly error: RunStoreError;
}

/**
 * The runs of this instance that do not execute and are not stored: runs that could not be stored, runs
 * that were released, and claims that were rejected here but may have been committed.
 *
 * Such a run may hold its thread in the database until the database can be written. This class has the
 * thread freed. Until that is done, `has` says that the run has ended.
 */
export class UnstoredRuns {
  readonly #batcher: Batcher;
  readonly #logger: Logger;
  readonly #wasOpened: () => boolean;
  /** Runs that could not be stored, with the reason; by `keyOf` the run. */
  readonly #unstored = new Map<string, UnstoredRun>();
  /** `keyOf` the released runs that may still hold their thread in the database. */
  readonly #unreleased = new Set<string>();
  /** Numbers of the claims that were rejected here and may still hold their thread in the database. */
  readonly #withdrawn = new Set<number>();
  #silent = false;

  /** `wasOpened`: whether the database was open at any time. */
  constructor(batcher: Batcher, logger: Logger, wasOpened: () => boolean) {
    this.#batcher = batcher;
    this.#logger = logger;
    this.#wasOpened = wasOpened;
  }

  /** Notes a run that could not be stored, or not whole. */
  add(run: RunKey & { readonly runId: string }, error: RunStoreError): void {
    this.#unstored.set(keyOf(run), { runId: run.runId, error });
  }

  /** Frees the thread of a run that can never be stored whole. Keeps the run's journal if possible. */
  giveUp(run: RunKey & { readonly runId: string }, error: RunStoreError): void {
    this.add(run, error);
    void this.#free(run);
  }

  /** Frees the thread of a claim that was rejected here, in case the claim was committed. */
  withdraw(threadId: string, claim: number): void {
    this.#withdrawn.add(claim);
    this.#batcher.enqueue({ kind: "withdraw", threadId, number: claim }).then(
      () => this.#withdrawn.delete(claim),
      (error: RunStoreError) => this.#reportHeld(threadId, error),
    );
  }

  /** Notes a run that is about to be released. */
  releasing(run: RunKey): void {
    this.#unreleased.add(keyOf(run));
  }

  /** Forgets a released run: its thread is free in the database. */
  released(run: RunKey): void {
    this.#unreleased.delete(keyOf(run));
  }

  /** Whether a run that holds its thread in the database is known here to have ended. */
  has(threadId: string, { epoch, ownClaim }: HoldingRun): boolean {
    if (ownClaim !== null && this.#withdrawn.has(ownClaim)) return true;
    const key = keyOf({ threadId, epoch });
    return this.#unstored.has(key) || this.#unreleased.has(key);
  }

  /** Throws a `RunStoreError` with `code` when a run could not be stored. */
  expectNone(code: "PERSISTENCE_FAILED" | "CLOSE_INCOMPLETE"): void {
    if (this.#unstored.size === 0) return;
    const [first] = this.#unstored.values();
    throw new RunStoreError(
      code,
      `${this.#unstored.size} run(s) could not be stored, ${JSON.stringify(first?.runId)} among them: ${first?.error.message}`,
      { cause: first?.error },
    );
  }

  /** Stops the reports of threads that stay held: writing has ended, and that is reported already. */
  silence(): void {
    this.#silent = true;
  }

  async #free({ threadId, epoch }: RunKey): Promise<void> {
    for (const keep of [true, false]) {
      try {
        const result = await this.#batcher.enqueue({ kind: "giveUp", threadId, epoch, keep });
        if (result.ok) return;
        if (!keep) this.#reportHeld(threadId, RunStoreError.from(result.fault));
      } catch (error) {
        if (!keep) this.#reportHeld(threadId, toRunStoreError(error));
      }
    }
  }

  /** The next process that opens the database frees the thread, or the next run of the thread here. */
  #reportHeld(threadId: string, error: RunStoreError): void {
    // A database that was never opened holds no thread of this instance. That error is reported already.
    if (this.#silent || !this.#wasOpened()) return;
    const fields = { err: error, code: error.code, threadId };
    this.#logger.error(fields, "the thread of a run that has ended could not be freed");
  }
}
