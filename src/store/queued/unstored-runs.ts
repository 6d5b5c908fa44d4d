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
 * The runs of this instance that nobody executes and that are not stored: those that could not be,
 * those that were released, and claims that were refused here and may have been committed.
 *
 * Each may hold its thread in the database until the database can be written. So it has each thread
 * freed; until then, it knows that the thread is free.
 */
export class UnstoredRuns {
  readonly #batcher: Batcher;
  readonly #logger: Logger;
  readonly #wasOpened: () => boolean;
  /** Runs that could not be stored, with the reason; by `keyOf` the run. */
  readonly #unstored = new Map<string, UnstoredRun>();
  /** `keyOf` the runs that were to be released, and may hold their thread in the database still. */
  readonly #unreleased = new Set<string>();
  /** Numbers of the claims that were refused here, and may hold their thread in the database still. */
  readonly #withdrawn = new Set<number>();
  #silent = false;

  /** `wasOpened`: whether the database was open at any time. */
  constructor(batcher: Batcher, logger: Logger, wasOpened: () => boolean) {
    this.#batcher = batcher;
    this.#logger = logger;
    this.#wasOpened = wasOpened;
  }

  /** A run could not be stored, or not whole. */
  add(run: RunKey & { readonly runId: string }, error: RunStoreError): void {
    this.#unstored.set(keyOf(run), { runId: run.runId, error });
  }

  /** Frees the thread of a run that can never be stored. What its journal holds is kept if it can be. */
  giveUp(run: RunKey & { readonly runId: string }, error: RunStoreError): void {
    this.add(run, error);
    void this.#free(run);
  }

  /** Frees the thread of a claim that was refused here, in case it was committed all the same. */
  withdraw(threadId: string, claim: number): void {
    this.#withdrawn.add(claim);
    this.#batcher.enqueue({ kind: "withdraw", threadId, number: claim }).then(
      () => this.#withdrawn.delete(claim),
      (error: RunStoreError) => this.#reportHeld(threadId, error),
    );
  }

  /** A run is about to be released. */
  releasing(run: RunKey): void {
    this.#unreleased.add(keyOf(run));
  }

  /** The database says that the thread is free. */
  released(run: RunKey): void {
    this.#unreleased.delete(keyOf(run));
  }

  /** Whether a run that holds its thread in the database is known here to have ended. */
  has(threadId: string, { epoch, ownClaim }: HoldingRun): boolean {
    if (ownClaim !== null && this.#withdrawn.has(ownClaim)) return true;
    const key = keyOf({ threadId, epoch });
    return this.#unstored.has(key) || this.#unreleased.has(key);
  }

  /** Throws when a run could not be stored. */
  expectNone(code: "PERSISTENCE_FAILED" | "CLOSE_INCOMPLETE"): void {
    if (this.#unstored.size === 0) return;
    const [first] = this.#unstored.values();
    throw new RunStoreError(
      code,
      `${this.#unstored.size} run(s) could not be stored, ${JSON.stringify(first?.runId)} among them: ${first?.error.message}`,
      { cause: first?.error },
    );
  }

  /** Nothing is written any more, and that is known: threads that stay held are no news. */
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

  /** The next process that opens the database, or the next run of the thread here, frees it. */
  #reportHeld(threadId: string, error: RunStoreError): void {
    // A database that was never opened holds no thread of ours. That it was not is reported already.
    if (this.#silent || !this.#wasOpened()) return;
    const fields = { err: error, code: error.code, threadId };
    this.#logger.error(fields, "a thread that nobody uses could not be freed");
  }
}
