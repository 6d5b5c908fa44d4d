import type { Batch } from "../../protocol/messages.ts";
import type { CommittedBatch } from "./backend.ts";
import type { QueuedOperation } from "./operation.ts";

/** A batch that was sent and is not acknowledged yet. */
export interface InFlightBatch {
  readonly operations: readonly QueuedOperation[];
  /** Milliseconds of `performance.now()`. */
  readonly sentAt: number;
  /** What `Backend.commit` returned for the batch. */
  readonly answer: Promise<CommittedBatch>;
}

/**
 * The batches in flight, in the order in which they were sent. Their answers come in the same order.
 *
 * Each batch names the batch before it. The backend refuses a batch when the batch that it names was not
 * committed. So when the first batch fails, no later batch can overtake it.
 */
export class InFlightBatches {
  readonly #commit: (batch: Batch) => Promise<CommittedBatch>;
  #batches: InFlightBatch[] = [];
  #lastSeq = 0;

  constructor(commit: (batch: Batch) => Promise<CommittedBatch>) {
    this.#commit = commit;
  }

  get size(): number {
    return this.#batches.length;
  }

  get first(): InFlightBatch | undefined {
    return this.#batches[0];
  }

  get operations(): readonly QueuedOperation[] {
    return this.#batches.flatMap(({ operations }) => operations);
  }

  /** Sends a batch behind those in flight. `isLast`: nothing waits to be sent. */
  send(operations: readonly QueuedOperation[], isLast: boolean): void {
    this.#batches.push(this.#sent(operations, isLast && this.#batches.length === 0));
  }

  /** Removes the first batch: it is acknowledged, or its operations were given up or queued again. */
  shift(): void {
    this.#batches.shift();
  }

  /**
   * Removes the batches behind the first batch. Resolves with their operations when all their answers
   * have come: from then on, no removed batch can still be committed.
   */
  async recall(): Promise<readonly QueuedOperation[]> {
    const later = this.#batches.slice(1);
    await Promise.allSettled(later.map(({ answer }) => answer));
    this.#batches.splice(1);
    return later.flatMap(({ operations }) => operations);
  }

  /** Leaves only `operations` in flight, those of the failed first batch that are to be sent again. */
  keepFirst(first: InFlightBatch, operations: readonly QueuedOperation[]): void {
    this.#batches = operations.length === 0 ? [] : [{ ...first, operations }];
  }

  /** Sends the operations of the failed first batch again, with no other batch in flight. */
  resend(operations: readonly QueuedOperation[]): InFlightBatch {
    this.#batches = [];
    const batch = this.#sent(operations, false);
    this.#batches.push(batch);
    return batch;
  }

  clear(): void {
    this.#batches = [];
  }

  #sent(operations: readonly QueuedOperation[], isAlone: boolean): InFlightBatch {
    const after = this.#batches.length > 0 ? this.#lastSeq : null;
    const seq = ++this.#lastSeq;
    const answer = this.#commit({ ops: operations.map(({ op }) => op), seq, after, isAlone });
    // The failure of a recalled batch needs no report: its operations are sent again.
    answer.catch(() => {});
    return { operations, sentAt: performance.now(), answer };
  }
}
