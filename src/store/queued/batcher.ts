import { AsyncLocalStorage } from "node:async_hooks";
import { MAX_SEGMENT_LENGTH } from "../../events/json/segment.ts";
import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { Batch, OpResult, WriterOp } from "../../protocol/messages.ts";
import type { StoreStats } from "../run-store.ts";
import type { CommittedBatch } from "./backend.ts";
import { Backoff } from "./backoff.ts";
import { BatchStats } from "./batch-stats.ts";
import { FlushWaiters } from "./flush-waiters.ts";
import { type InFlightBatch, InFlightBatches } from "./in-flight.ts";
import { type LingeringEvents, LingerTimer } from "./linger-timer.ts";
import type { QueuedOperation } from "./operation.ts";
import { journalReadBy, sizeOf } from "./operation-size.ts";

/** A batch that ended its writer this often is sent one operation at a time. */
const MAX_DEATHS = 3;
/**
 * Operations a batch holds at most: while the writer commits some, the main thread deals with the
 * acknowledgement of the others. One batch of all would have each wait for the other.
 */
const MAX_BATCH_OPS = 50;
/**
 * Batches in flight at most: the writer has the next one when it is done with one, however busy the
 * main thread is.
 */
const MAX_IN_FLIGHT = 3;
/**
 * An operation that waits for so long waits for a writer that does not answer. Less is no evidence: an
 * agent that emits without a pause keeps the answers from being heard.
 */
const STUCK_MS = 10_000;

export interface BatcherOptions {
  readonly lingerMs: number;
  readonly maxBatchBytes: number;
  /** `Backend.commit`. */
  readonly send: (batch: Batch) => Promise<CommittedBatch>;
  readonly onTrouble: (error: RunStoreError, message: string) => void;
}

/**
 * Gathers operations and sends them to the backend in batches, in order.
 *
 * An operation:
 *
 *   lingering -> queued -> in flight -> settled
 *
 * Back from in flight to queued, and from queued to settled, it goes only when storing fails.
 *
 * lingering: events of a run that wait for more of it, so that a short run never touches the journal.
 * They become an append when they have lingered, or are many; or another operation takes them along.
 * queued: waits for a place among the batches in flight. Meanwhile more gathers: group commit.
 * in flight: sent in a batch that is not acknowledged yet. When the first batch fails, the operations of
 * the batches behind it are queued again, and it is sent again, alone, until it is through. A batch that
 * ends its writer again and again is queued again too, and its operations leave one by one.
 * settled: it has the backend's result, or the error for which it is not tried again. A claim or a stop
 * request is rejected wherever it is when storing has failed for long, and everything is at `end`.
 *
 * A batch may be committed and its acknowledgement be lost: operations are idempotent for that reason.
 */
export class Batcher {
  readonly #options: BatcherOptions;
  /** Batches carry operations of many requests: they leave in the context of none of them. */
  readonly #inOwnContext = AsyncLocalStorage.snapshot();
  readonly #inFlight: InFlightBatches;
  #queue: QueuedOperation[] = [];
  #draining = false;
  readonly #lingerTimer: LingerTimer;
  #pendingBytes = 0;
  #lastOrder = 0;
  /** Operations up to this order leave one by one: one of them ends the writer. */
  #aloneUpTo = 0;
  readonly #flushWaiters = new FlushWaiters();
  #lastError: RunStoreError | null = null;
  readonly #stats = new BatchStats();
  readonly #ended = new AbortController();
  readonly #backoff = new Backoff(this.#ended.signal);

  constructor(options: BatcherOptions) {
    this.#options = options;
    this.#inFlight = new InFlightBatches(options.send);
    this.#lingerTimer = new LingerTimer(options.lingerMs);
  }

  /** Bytes of JSON that are not stored yet. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** True while the last write has failed, or the writer answers nothing. */
  get stuck(): boolean {
    return this.#backoff.failing || this.#lagMs > STUCK_MS;
  }

  /** Queues an operation; resolves with the writer's result for it. */
  enqueue<Op extends WriterOp>(
    op: Op,
    onStalled?: (error: RunStoreError) => void,
  ): Promise<OpResult<Op["kind"]>> {
    if (this.#ended.signal.aborted) {
      return Promise.reject(new RunStoreError("RUNNER_CLOSED", "the runner is closed"));
    }
    const bytes = sizeOf(op);
    this.#pendingBytes += bytes;
    const { promise, resolve, reject } = Promise.withResolvers<OpResult<Op["kind"]>>();
    const order = ++this.#lastOrder;
    const queuedAt = performance.now();
    this.#queue.push({
      ...{ op, bytes, order, queuedAt, reject, onStalled: onStalled ?? null },
      // The backend answers an operation with an answer of its kind: protocol/messages.ts.
      resolve: resolve as (result: OpResult) => void,
    });
    if (!this.#draining) {
      this.#draining = true;
      // Whatever else is queued in this turn of the loop goes into the same batch.
      this.#inOwnContext(() => setImmediate(() => void this.#drain()));
    }
    return promise;
  }

  /** Says that `run` got `length` more; its events are sent when they have lingered, or are many. */
  linger(run: LingeringEvents, length: number): void {
    this.#pendingBytes += length;
    if (run.length >= Math.min(this.#options.maxBatchBytes, MAX_SEGMENT_LENGTH)) run.send();
    else this.#lingerTimer.add(run);
  }

  /** The events of `run` that linger are about to leave, with whatever operation. */
  unlinger(run: LingeringEvents): void {
    this.#pendingBytes -= run.length;
    this.#lingerTimer.delete(run);
  }

  /** Resolves when everything given to the batcher so far is acknowledged or has failed. */
  async flush(): Promise<void> {
    this.#lingerTimer.flush();
    await this.#flushWaiters.wait(this.#lastOrder);
  }

  /** Ends all waiting: what is not acknowledged is rejected with `error`. */
  end(error: RunStoreError): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#lingerTimer.end();
    this.#fail([...this.#inFlight.operations, ...this.#queue.splice(0)], error);
    this.#inFlight.clear();
    // What lingered is lost with the rest.
    this.#pendingBytes = 0;
    this.#flushWaiters.settle(this.#lastOrder);
  }

  stats(): Omit<StoreStats, "walBytes"> {
    return {
      queueDepth: this.#inFlight.operations.length + this.#queue.length,
      queueBytes: this.#pendingBytes,
      lagMs: this.#lagMs,
      ...this.#stats.read(),
      lastError: this.#lastError,
    };
  }

  async #drain(): Promise<void> {
    for (;;) {
      this.#launchMore();
      const { first } = this.#inFlight;
      if (first === undefined) break;
      const acknowledge = await this.#land(first);
      if (this.#ended.signal.aborted) return;
      this.#inFlight.shift();
      // What those who are told have to do is done while the writer is busy again.
      this.#launchMore();
      acknowledge();
      this.#flushWaiters.settle((this.#oldest?.order ?? this.#lastOrder + 1) - 1);
      // And in a turn of the loop of its own: several answers may have come in this one.
      await nextTurn();
      if (this.#ended.signal.aborted) return;
    }
    this.#draining = false;
  }

  #launchMore(): void {
    while (this.#queue.length > 0 && this.#inFlight.size < MAX_IN_FLIGHT) {
      this.#inFlight.launch(this.#takeBatch());
    }
  }

  /** The oldest operation that is not settled. One that was queued again counts. */
  get #oldest(): QueuedOperation | undefined {
    return this.#inFlight.first?.operations[0] ?? this.#queue[0];
  }

  get #lagMs(): number {
    return this.#oldest === undefined ? 0 : performance.now() - this.#oldest.queuedAt;
  }

  #takeBatch(): readonly QueuedOperation[] {
    let count = 0;
    let bytes = 0;
    for (const { op, bytes: size, order } of this.#queue) {
      const weight = size + journalReadBy(op);
      if (count > 0 && bytes + weight > this.#options.maxBatchBytes) break;
      bytes += weight;
      count++;
      if (order <= this.#aloneUpTo || count === MAX_BATCH_OPS) break;
    }
    return this.#queue.splice(0, count);
  }

  /**
   * Waits until the first batch in flight is acknowledged, sending it again as long as that makes
   * sense, or until it is certain that it never will be. Returns what tells those who wait for it.
   */
  async #land(first: InFlightBatch): Promise<() => void> {
    let batch = first;
    let deaths = 0;
    for (let attempt = 0; ; attempt++) {
      const { operations, sentAt } = batch;
      try {
        const { results } = await batch.answer;
        this.#backoff.succeeded();
        this.#stats.record(operations.length, performance.now() - sentAt);
        return () => this.#acknowledge(operations, results);
      } catch (cause) {
        if (this.#ended.signal.aborted) return nothing;
        const error = toRunStoreError(cause);
        this.#lastError = error;
        const recalled = await this.#inFlight.recall();
        // Then `end` has failed what was recalled.
        if (!this.#ended.signal.aborted) this.#queue.unshift(...recalled);
        if (!error.retryable) return () => this.#fail(operations, error);
        const hasDied = error.code === "WRITER_DIED";
        if (hasDied && ++deaths === MAX_DEATHS) {
          return this.#isolate(operations, error);
        }
        this.#options.onTrouble(error, "storing failed and is tried again");
        const goesOn = this.#backoff.failed();
        // The trouble may have ended while nothing was sent: a first failure refuses nobody.
        const rest = goesOn && attempt > 0 ? this.#reportStall(operations, error) : operations;
        this.#inFlight.keepOf(batch, rest);
        if (rest.length === 0) return nothing;
        await this.#backoff.wait(hasDied ? attempt - 1 : attempt);
        if (this.#ended.signal.aborted) return nothing;
        batch = this.#inFlight.relaunch(rest);
      }
    }
  }

  #acknowledge(batch: readonly QueuedOperation[], results: readonly OpResult[]): void {
    for (const [index, operation] of batch.entries()) {
      this.#pendingBytes -= operation.bytes;
      const result = results[index];
      if (result === undefined) operation.reject(new RunStoreError("STORE_FAILED", "no result"));
      else operation.resolve(result);
    }
  }

  /** Sends the operations of a batch that ends its writer one by one; gives up on one alone. */
  #isolate(batch: readonly QueuedOperation[], error: RunStoreError): () => void {
    const last = batch.at(-1);
    if (batch.length === 1 || last === undefined) {
      const message = `this operation ended its writer ${MAX_DEATHS} times: ${error.message}`;
      const failure = new RunStoreError("WRITER_FAILED", message, { cause: error });
      return () => this.#fail(batch, failure);
    }
    this.#aloneUpTo = last.order;
    this.#queue.unshift(...batch);
    return nothing;
  }

  /**
   * Failures have gone on for a while: tells those who wait for a completion, and refuses the
   * claims and the stops: a run that has not begun is better refused than left waiting, and who asks
   * another process for something wants to know. Returns what is to be sent on.
   */
  #reportStall(
    batch: readonly QueuedOperation[],
    error: RunStoreError,
  ): readonly QueuedOperation[] {
    for (const operation of [...batch, ...this.#queue]) {
      operation.onStalled?.(error);
      operation.onStalled = null;
    }
    const isRefused = ({ op }: QueuedOperation) => op.kind === "claim" || op.kind === "stop";
    this.#fail([...batch, ...this.#queue].filter(isRefused), error);
    this.#queue = this.#queue.filter((operation) => !isRefused(operation));
    return batch.filter((operation) => !isRefused(operation));
  }

  #fail(operations: readonly QueuedOperation[], error: RunStoreError): void {
    for (const operation of operations) {
      this.#pendingBytes -= operation.bytes;
      operation.reject(error);
    }
  }
}

const nothing = () => {};
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));
