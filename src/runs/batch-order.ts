import { RunStoreError } from "../protocol/errors.ts";
import type { Batch } from "../protocol/messages.ts";

/**
 * The order of the batches of one instance. Operations are committed in the order in which they were
 * queued, so a batch must not be committed when the batch before it failed.
 */
export class BatchOrder {
  #committedSeq: number | null = null;

  /** Called before a batch is committed. Throws `STORE_FAILED` if the batch before it was not. */
  expectNext({ after }: Pick<Batch, "after">): void {
    if (after === null || after === this.#committedSeq) return;
    throw new RunStoreError("STORE_FAILED", "the batch before this one was not committed");
  }

  /** Called when a batch was committed. */
  committed({ seq }: Pick<Batch, "seq">): void {
    this.#committedSeq = seq;
  }
}
