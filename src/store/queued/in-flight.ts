import type { Batch } from "../../protocol/messages.ts";
import type { CommittedBatch } from "./backend.ts";
import type { QueuedOperation } from "./operation.ts";

/** A batch that was sent and is not acknowledged yet. */
export interface InFlightBatch {
  readonly operations: readonly QueuedOperation[];
  /** Milliseconds of `performance.now()`. */
  readonly sentAt: number;
  readonly answer: Promise<CommittedBatch>;
}

/**
 * The batches in flight, in the order in which they were sent, which is the order of their answers.
 *
 * Each batch names the one before it, and the backend refuses it when that one was not committed. So
 * when the first batch fails, none behind it can overtake it.
 */
export class InFlightBatches {
  readonly #send: (batch: Batch) => Promise<CommittedBatch>;
  #batches: InFlightBatch[] = [];
  #lastSeq = 0;

  constructor(send: (batch: Batch) => Promise<CommittedBatch>) {
    this.#send = send;
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

  /** Sends a batch behind those in flight. */
  launch(operations: readonly QueuedOperation[]): void {
    this.#batches.push(this.#sent(operations));
  }

  /** The first batch is acknowledged, or has failed for good. */
  shift(): void {
    this.#batches.shift();
  }

  /**
   * Takes the batches behind the first one back. Resolves with their operations, once it is certain
   * that none of them will be committed any more.
   */
  async recall(): Promise<readonly QueuedOperation[]> {
    const later = this.#batches.slice(1);
    await Promise.allSettled(later.map(({ answer }) => answer));
    this.#batches.splice(1);
    return later.flatMap(({ operations }) => operations);
  }

  /** What is left to send of a first batch that failed; it counts as in flight until it is sent again. */
  keepOf(first: InFlightBatch, operations: readonly QueuedOperation[]): void {
    this.#batches = operations.length === 0 ? [] : [{ ...first, operations }];
  }

  /** Sends a batch that failed again, with no other one in flight. */
  relaunch(operations: readonly QueuedOperation[]): InFlightBatch {
    this.#batches = [];
    const batch = this.#sent(operations);
    this.#batches.push(batch);
    return batch;
  }

  clear(): void {
    this.#batches = [];
  }

  #sent(operations: readonly QueuedOperation[]): InFlightBatch {
    const after = this.#batches.length > 0 ? this.#lastSeq : null;
    const seq = ++this.#lastSeq;
    const answer = this.#send({ ops: operations.map(({ op }) => op), seq, after });
    // The failure of a batch that is recalled is nobody's news.
    answer.catch(() => {});
    return { operations, sentAt: performance.now(), answer };
  }
}
