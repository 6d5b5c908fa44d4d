import { AsyncLocalStorage } from "node:async_hooks";
import { MAX_SEGMENT_LENGTH } from "../../events/json/segment.ts";
import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { Batch, OpResult, WriterOp } from "../../protocol/messages.ts";
import { batchChannel } from "../../telemetry/channels.ts";
import type { StoreStats } from "../run-store.ts";
import type { CommittedBatch } from "./backend.ts";
import { Backoff } from "./backoff.ts";
import { BatchStats } from "./batch-stats.ts";
import { FlushWaiters } from "./flush-waiters.ts";
import { type InFlightBatch, InFlightBatches } from "./in-flight.ts";
import { type LingeringEvents, LingerTimer } from "./linger-timer.ts";
import type { QueuedOperation } from "./operation.ts";
import { journalReadBy, sizeOf } from "./operation-size.ts";

/** After a batch has ended its writer this often, its operations are sent one per batch. */
const MAX_DEATHS = 3;
/** Batches in flight at most. The writer has its next batch even while the main thread is busy. */
const MAX_IN_FLIGHT = 3;
/**
 * The waiting operations are divided among the batches that may still be sent: while the writer commits one,
 * the main thread handles the answer to another. With everything in one batch, the two threads would wait
 * for each other. Batches with fewer operations than this are not made that way: waking the other thread
 * would cost more than the operations.
 */
const MIN_SHARE = 12;
/** Operations per batch at most: the answers to one batch are handled in one turn of the event loop. */
const MAX_BATCH_OPS = 100;
/**
 * After this wait for an answer, the writer counts as not answering. A shorter wait proves nothing: an
 * agent that emits without a pause keeps the main thread from receiving answers.
 */
const STUCK_MS = 10_000;
/** The same, from when the wait was noticed: after a stall of the main thread, the answers wait to be read. */
const NOTICED_MS = 1000;

const REFUSED_WHEN_STALLED: ReadonlySet<WriterOp["kind"]> = new Set([
  "claim",
  "stop",
  "updateThread",
]);

export interface BatcherOptions {
  /** Whose batches these are, for telemetry. */
  readonly instanceId?: string | undefined;
  readonly lingerMs: number;
  readonly maxBatchBytes: number;
  /** `Backend.commit`. */
  readonly send: (batch: Batch) => Promise<CommittedBatch>;
  readonly onTrouble: (error: RunStoreError, message: string) => void;
}

/**
 * Gathers operations and sends them to the backend in batches, in order.
 *
 * The states of an operation:
 *
 *   lingering -> queued -> in flight -> settled
 *                queued <- in flight               (storing failed)
 *                queued --------------> settled    (storing failed for long, or `end`)
 *
 * lingering: the events of a run wait for more events of that run, so that a short run never touches
 * the journal. They become an append after the linger time, or when they fill a segment. Any other
 * operation that carries events takes them along.
 * queued: the operation waits for the end of this turn of the event loop, and until another batch may be
 * sent. More operations gather meanwhile: that is the group commit.
 * in flight: the operation was sent in a batch that is not acknowledged yet. When the first batch fails,
 * the operations of the batches behind it are queued again. The first batch is sent again, alone, until
 * it is acknowledged. A batch that keeps ending its writer is queued again too. Its operations are then
 * sent one per batch.
 * settled: the operation has the backend's result, or an error after which it is not sent again.
 *
 * When storing has failed for long, claims, stop requests and changes of threads are rejected, queued or in
 * flight. `end` rejects every operation.
 *
 * A batch may be committed although its acknowledgement is lost. So every operation is idempotent.
 */
export class Batcher {
  readonly #options: BatcherOptions;
  /** A batch carries operations of many requests. It is sent in the async context of none of them. */
  readonly #inOwnContext = AsyncLocalStorage.snapshot();
  readonly #inFlight: InFlightBatches;
  #queue: QueuedOperation[] = [];
  /** Whether the queue is looked at when this turn of the event loop ends. */
  #isSendDue = false;
  #draining = false;
  /** Whether the first batch has failed. Nothing else is sent before it is acknowledged or given up. */
  #isRetrying = false;
  readonly #lingerTimer: LingerTimer;
  #pendingBytes = 0;
  #lastOrder = 0;
  /** Operations up to this order are sent one per batch: one of them ends the writer. */
  #aloneUpTo = 0;
  readonly #flushWaiters = new FlushWaiters();
  #lastError: RunStoreError | null = null;
  /** When it was noticed that the writer does not answer. Null since its last answer. */
  #lateSince: number | null = null;
  readonly #stats = new BatchStats();
  readonly #ended = new AbortController();
  readonly #backoff = new Backoff(this.#ended.signal);

  constructor(options: BatcherOptions) {
    this.#options = options;
    this.#inFlight = new InFlightBatches(options.send);
    this.#lingerTimer = new LingerTimer(options.lingerMs);
  }

  /** Bytes of JSON that are not acknowledged yet, lingering events included. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** True while the last write has failed, or the writer does not answer. */
  get stuck(): boolean {
    if (this.#backoff.failing) return true;
    if (this.#lagMs <= STUCK_MS) return false;
    this.#lateSince ??= performance.now();
    return performance.now() - this.#lateSince >= NOTICED_MS;
  }

  /**
   * Queues an operation. Resolves with the backend's result for it. Rejects with a `RunStoreError` when
   * the operation is given up. `onStalled` is called once when storing keeps failing.
   */
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
    if (!this.#isSendDue && this.#maySend) {
      this.#isSendDue = true;
      // Operations queued in the same turn of the event loop go into the same batch.
      this.#inOwnContext(() => setImmediate(() => this.#sendQueued()));
    }
    return promise;
  }

  /**
   * Counts `length` more UTF-16 units of events that linger in `run`. The events of `run` are sent after
   * the linger time, or now when they fill a segment.
   */
  linger(run: LingeringEvents, length: number): void {
    this.#pendingBytes += length;
    if (run.length >= Math.min(this.#options.maxBatchBytes, MAX_SEGMENT_LENGTH)) run.send();
    else this.#lingerTimer.add(run);
  }

  /** An operation is about to take the lingering events of `run`: they linger no more. */
  unlinger(run: LingeringEvents): void {
    this.#pendingBytes -= run.length;
    this.#lingerTimer.delete(run);
  }

  /** Sends the lingering events now. Resolves when every operation queued so far is settled. */
  async flush(): Promise<void> {
    this.#lingerTimer.flush();
    await this.#flushWaiters.wait(this.#lastOrder);
  }

  /** Ends the batcher. Rejects every operation that is not settled with `error`. */
  end(error: RunStoreError): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#lingerTimer.end();
    this.#fail([...this.#inFlight.operations, ...this.#queue.splice(0)], error);
    this.#inFlight.clear();
    // The lingering events are lost too.
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

  #sendQueued(): void {
    this.#isSendDue = false;
    this.#sendMore();
    if (this.#draining) return;
    this.#draining = true;
    void this.#drain();
  }

  /** Settles the batches in flight, one after another, until there is none. */
  async #drain(): Promise<void> {
    for (let { first } = this.#inFlight; first !== undefined; { first } = this.#inFlight) {
      const settle = await this.#awaitFirst(first);
      if (this.#ended.signal.aborted) return;
      this.#isRetrying = false;
      this.#inFlight.shift();
      // Send before settling: the writer then works while the callers handle their results.
      this.#sendMore();
      settle();
      this.#flushWaiters.settle((this.#oldest?.order ?? this.#lastOrder + 1) - 1);
      // Several answers may arrive in one turn of the event loop: settle one batch a turn.
      await nextTurn();
      if (this.#ended.signal.aborted) return;
    }
    this.#draining = false;
  }

  get #maySend(): boolean {
    return !this.#isRetrying && this.#inFlight.size < MAX_IN_FLIGHT;
  }

  #sendMore(): void {
    while (this.#queue.length > 0 && this.#maySend) {
      const share = Math.ceil(this.#queue.length / (MAX_IN_FLIGHT - this.#inFlight.size));
      const maxOps = Math.min(Math.max(share, MIN_SHARE), MAX_BATCH_OPS);
      const batch = this.#takeBatch(maxOps);
      this.#inFlight.send(batch, this.#queue.length === 0);
    }
  }

  /** The oldest operation that is queued or in flight. An operation that was queued again counts. */
  get #oldest(): QueuedOperation | undefined {
    return this.#inFlight.first?.operations[0] ?? this.#queue[0];
  }

  get #lagMs(): number {
    return this.#oldest === undefined ? 0 : performance.now() - this.#oldest.queuedAt;
  }

  #takeBatch(maxOps: number): readonly QueuedOperation[] {
    let count = 0;
    let bytes = 0;
    for (const { op, bytes: size, order } of this.#queue) {
      const weight = size + journalReadBy(op);
      if (count > 0 && bytes + weight > this.#options.maxBatchBytes) break;
      bytes += weight;
      count++;
      if (order <= this.#aloneUpTo || count === maxOps) break;
    }
    return this.#queue.splice(0, count);
  }

  /**
   * Waits until the first batch in flight is acknowledged or is given up. Sends it again as long as a
   * retry may help. Returns a function that settles its operations.
   */
  async #awaitFirst(first: InFlightBatch): Promise<() => void> {
    let batch = first;
    let deaths = 0;
    for (let attempt = 0; ; attempt++) {
      const { operations, sentAt } = batch;
      try {
        const { results } = await batch.answer;
        this.#backoff.succeeded();
        this.#lateSince = null;
        const commitMs = performance.now() - sentAt;
        this.#stats.record(operations.length, commitMs);
        if (batchChannel.hasSubscribers) this.#publish(operations, commitMs);
        return () => this.#acknowledge(operations, results);
      } catch (cause) {
        if (this.#ended.signal.aborted) return nothing;
        this.#isRetrying = true;
        const error = toRunStoreError(cause);
        this.#lastError = error;
        const recalled = await this.#inFlight.recall();
        // If `end` was called meanwhile, it has rejected the recalled operations.
        if (!this.#ended.signal.aborted) this.#queue.unshift(...recalled);
        if (!error.retryable) return () => this.#fail(operations, error);
        const hasDied = error.code === "WRITER_DIED";
        if (hasDied && ++deaths === MAX_DEATHS) {
          return this.#isolate(operations, error);
        }
        this.#options.onTrouble(error, "storing failed and is tried again");
        const goesOn = this.#backoff.failed();
        // A stall may have ended while nothing was sent: the first failure of a batch rejects no claim.
        const rest = goesOn && attempt > 0 ? this.#reportStall(operations, error) : operations;
        this.#inFlight.keepFirst(batch, rest);
        if (rest.length === 0) return nothing;
        await this.#backoff.wait(hasDied ? attempt - 1 : attempt);
        if (this.#ended.signal.aborted) return nothing;
        batch = this.#inFlight.resend(rest);
      }
    }
  }

  #publish(batch: readonly QueuedOperation[], commitMs: number): void {
    let bytes = 0;
    for (const operation of batch) bytes += operation.bytes;
    const { instanceId = null } = this.#options;
    const lagMs = performance.now() - (batch[0]?.queuedAt ?? 0);
    batchChannel.publish({ instanceId, operations: batch.length, bytes, commitMs, lagMs });
  }

  #acknowledge(batch: readonly QueuedOperation[], results: readonly OpResult[]): void {
    for (const [index, operation] of batch.entries()) {
      this.#pendingBytes -= operation.bytes;
      const result = results[index];
      if (result === undefined) {
        const message = "the backend gave fewer results than the batch has operations";
        operation.reject(new RunStoreError("STORE_FAILED", message));
      } else {
        operation.resolve(result);
      }
    }
  }

  /**
   * Queues the operations of a batch that keeps ending its writer again, to be sent one per batch. An
   * operation that was alone in its batch is given up.
   */
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
   * Storing has failed for long. Calls every `onStalled`, and rejects the claims and what waits for an
   * answer: a run that has not begun is better refused than left waiting. Returns the operations of `batch`
   * that are still to be sent.
   */
  #reportStall(
    batch: readonly QueuedOperation[],
    error: RunStoreError,
  ): readonly QueuedOperation[] {
    for (const operation of [...batch, ...this.#queue]) {
      operation.onStalled?.(error);
      operation.onStalled = null;
    }
    const isRefused = ({ op }: QueuedOperation) => REFUSED_WHEN_STALLED.has(op.kind);
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
