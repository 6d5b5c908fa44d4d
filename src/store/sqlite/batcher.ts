import { MAX_SEGMENT_LENGTH } from "../../events/segment.ts";
import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { BatchMessage, ClaimOp, OpResult, WriterOp } from "../../protocol/messages.ts";
import type { StoreStats } from "../run-store.ts";
import { Backoff } from "./backoff.ts";
import { Histogram } from "./histogram.ts";
import type { RunBuffer } from "./run-buffer.ts";

/** A batch that ended its writer this often is sent one operation at a time. */
const MAX_DEATHS = 3;
/**
 * Operations a batch holds at most: while the writer commits some, the main thread deals with the
 * acknowledgement of the others. One batch of all would have each wait for the other.
 */
const MAX_BATCH_OPS = 100;
/** What an operation weighs beside its JSON: its ids, and its place in the queue. */
const OP_OVERHEAD_BYTES = 200;

export interface BatcherOptions {
  readonly lingerMs: number;
  readonly maxBatchBytes: number;
  /** Sends a batch to the writer and resolves with its acknowledgement. */
  readonly send: (ops: readonly WriterOp[]) => Promise<BatchMessage>;
  readonly onTrouble: (error: RunStoreError, message: string) => void;
}

interface Entry {
  readonly op: WriterOp;
  readonly bytes: number;
  readonly order: number;
  readonly resolve: (result: OpResult) => void;
  readonly reject: (error: RunStoreError) => void;
  onStalled: ((error: RunStoreError) => void) | null;
}

/**
 * Gathers operations and sends them to the writer, one batch at a time, in order.
 *
 * While a batch is in flight the next one gathers: group commit. Claims and completions leave as
 * soon as the batch before them is acknowledged; events linger, so that a short run never touches
 * the journal. A batch stays here until it is acknowledged, and is sent again when the writer died
 * or the disk refused it; the writer's operations are idempotent for that reason.
 */
export class Batcher {
  readonly #options: BatcherOptions;
  #queue: Entry[] = [];
  #inFlight: readonly Entry[] = [];
  #draining = false;
  /** Runs with events that linger, the oldest first: all linger equally long. */
  readonly #lingering = new Set<RunBuffer>();
  #lingerTimer: NodeJS.Timeout | null = null;
  #pendingBytes = 0;
  #lastOrder = 0;
  #settledOrder = 0;
  /** Entries up to this order leave one by one: one of them ends the writer. */
  #aloneUpTo = 0;
  #waiters: { readonly order: number; readonly resolve: () => void }[] = [];
  #lastError: RunStoreError | null = null;
  #batches = 0;
  readonly #batchSize = new Histogram();
  readonly #commitMs = new Histogram();
  readonly #ended = new AbortController();
  readonly #backoff = new Backoff(this.#ended.signal);

  constructor(options: BatcherOptions) {
    this.#options = options;
  }

  /** Bytes of JSON that are not stored yet. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Queues an operation; resolves with the writer's result for it. */
  enqueue(op: WriterOp, onStalled?: (error: RunStoreError) => void): Promise<OpResult> {
    if (this.#ended.signal.aborted) {
      return Promise.reject(new RunStoreError("RUNNER_CLOSED", "the runner is closed"));
    }
    const bytes = bytesOf(op);
    this.#pendingBytes += bytes;
    const { promise, resolve, reject } = Promise.withResolvers<OpResult>();
    const order = ++this.#lastOrder;
    this.#queue.push({ op, bytes, order, resolve, reject, onStalled: onStalled ?? null });
    if (!this.#draining) {
      this.#draining = true;
      // Whatever else is queued in this turn of the loop goes into the same batch.
      setImmediate(() => void this.#drain());
    }
    return promise;
  }

  /** Says that `buffer` got `bytes` more; they are sent when they have lingered, or are many. */
  linger(buffer: RunBuffer, bytes: number): void {
    this.#pendingBytes += bytes;
    if (buffer.length >= Math.min(this.#options.maxBatchBytes, MAX_SEGMENT_LENGTH)) {
      this.#appendBuffer(buffer);
    } else if (!this.#lingering.has(buffer)) {
      buffer.dueAt = performance.now() + this.#options.lingerMs;
      this.#lingering.add(buffer);
      this.#lingerTimer ??= setTimeout(() => this.#appendDue(), this.#options.lingerMs);
    }
  }

  /** Takes `buffer` out of what lingers: its events leave with another operation. */
  take(buffer: RunBuffer): { readonly seq: number; readonly events: string } {
    this.#pendingBytes -= buffer.length;
    this.#lingering.delete(buffer);
    return buffer.take();
  }

  /** Resolves when everything given to the batcher so far is acknowledged or has failed. */
  async flush(): Promise<void> {
    for (const buffer of this.#lingering) this.#appendBuffer(buffer);
    const order = this.#lastOrder;
    if (this.#settledOrder >= order) return;
    await new Promise<void>((resolve) => this.#waiters.push({ order, resolve }));
  }

  /** Ends all waiting: what is not acknowledged is rejected with `error`. */
  end(error: RunStoreError): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    if (this.#lingerTimer !== null) clearTimeout(this.#lingerTimer);
    this.#lingerTimer = null;
    this.#lingering.clear();
    this.#fail([...this.#inFlight, ...this.#queue.splice(0)], error);
    this.#inFlight = [];
    // What lingered is lost with the rest.
    this.#pendingBytes = 0;
    this.#settle(this.#lastOrder);
  }

  stats(): StoreStats {
    return {
      queueDepth: this.#queue.length + this.#inFlight.length,
      queueBytes: this.#pendingBytes,
      batches: this.#batches,
      batchSize: this.#batchSize.distribution(),
      commitMs: this.#commitMs.distribution(),
      lastError: this.#lastError,
    };
  }

  #appendDue(): void {
    this.#lingerTimer = null;
    // A timer may fire a fraction of a millisecond early.
    const now = performance.now() + 1;
    for (const buffer of this.#lingering) {
      if (buffer.dueAt > now) {
        this.#lingerTimer = setTimeout(() => this.#appendDue(), buffer.dueAt - now + 1);
        return;
      }
      this.#appendBuffer(buffer);
    }
  }

  #appendBuffer(buffer: RunBuffer): void {
    const { input } = buffer;
    buffer.input = null;
    const { threadId, runId, epoch } = buffer;
    const op = { kind: "append", threadId, runId, epoch, input, ...this.take(buffer) } as const;
    this.enqueue(op).then(
      (result) => {
        if (!result.ok) buffer.onLost(RunStoreError.from(result.fault));
      },
      (error: RunStoreError) => buffer.onLost(error),
    );
  }

  async #drain(): Promise<void> {
    let acknowledge = () => {};
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      this.#inFlight = batch;
      const delivery = this.#deliver(batch);
      // Only now: what those who are told have to do is done while the writer is busy again.
      acknowledge();
      this.#settle(this.#firstOpenOrder - 1);
      acknowledge = await delivery;
      if (this.#ended.signal.aborted) return;
      this.#inFlight = [];
    }
    this.#draining = false;
    acknowledge();
    this.#settle(this.#firstOpenOrder - 1);
  }

  /**
   * All before this is settled: entries that were put back to go alone stand in the queue again, and
   * claims that were refused stand nowhere.
   */
  get #firstOpenOrder(): number {
    return (this.#inFlight[0] ?? this.#queue[0])?.order ?? this.#lastOrder + 1;
  }

  #takeBatch(): readonly Entry[] {
    let count = 0;
    let bytes = 0;
    for (const entry of this.#queue) {
      if (count > 0 && bytes + entry.bytes > this.#options.maxBatchBytes) break;
      bytes += entry.bytes;
      count++;
      if (entry.order <= this.#aloneUpTo || count === MAX_BATCH_OPS) break;
    }
    return this.#queue.splice(0, count);
  }

  /**
   * Sends a batch until it is acknowledged, or until it is certain that it never will be. Returns
   * what is to be done to tell those who wait for it.
   */
  async #deliver(entries: readonly Entry[]): Promise<() => void> {
    let batch = entries;
    let deaths = 0;
    for (let attempt = 0; batch.length > 0; attempt++) {
      const sentAt = performance.now();
      try {
        const { results } = await this.#options.send(batch.map((entry) => entry.op));
        this.#backoff.succeeded();
        this.#batches++;
        this.#batchSize.record(batch.length);
        this.#commitMs.record(performance.now() - sentAt);
        const acknowledged = batch;
        return () => this.#acknowledge(acknowledged, results);
      } catch (cause) {
        if (this.#ended.signal.aborted) break;
        const error = toRunStoreError(cause);
        const failed = batch;
        this.#lastError = error;
        if (!error.retryable) return () => this.#fail(failed, error);
        if (error.code === "WRITER_DIED" && ++deaths === MAX_DEATHS) {
          this.#isolate(batch, error);
          break;
        }
        this.#options.onTrouble(error, "storing failed and is tried again");
        batch = this.#reportStall(batch, error);
        this.#inFlight = batch;
        await this.#backoff.wait(error.code === "WRITER_DIED" ? attempt - 1 : attempt);
        if (this.#ended.signal.aborted) break;
      }
    }
    return () => {};
  }

  #acknowledge(batch: readonly Entry[], results: readonly OpResult[]): void {
    for (const [index, entry] of batch.entries()) {
      this.#pendingBytes -= entry.bytes;
      const result = results[index];
      if (result === undefined) entry.reject(new RunStoreError("STORE_FAILED", "no result"));
      else entry.resolve(result);
    }
  }

  /** Sends the operations of a batch that ends its writer one by one; gives up on one alone. */
  #isolate(batch: readonly Entry[], error: RunStoreError): void {
    const last = batch.at(-1);
    if (batch.length === 1 || last === undefined) {
      const message = `this operation ended its writer ${MAX_DEATHS} times: ${error.message}`;
      this.#fail(batch, new RunStoreError("WRITER_FAILED", message, { cause: error }));
      return;
    }
    this.#aloneUpTo = last.order;
    this.#queue.unshift(...batch);
  }

  /**
   * When failures have gone on for a while, tells those who wait for a completion, and refuses the claims and
   * the stops: a run that has not begun is better refused than left waiting, and who asks another
   * process for something wants to know. Returns what is to be sent on.
   */
  #reportStall(batch: readonly Entry[], error: RunStoreError): readonly Entry[] {
    if (!this.#backoff.failed()) return batch;
    for (const entry of [...batch, ...this.#queue]) {
      entry.onStalled?.(error);
      entry.onStalled = null;
    }
    const isRefused = ({ op }: Entry) => op.kind === "claim" || op.kind === "stop";
    this.#fail([...batch, ...this.#queue].filter(isRefused), error);
    this.#queue = this.#queue.filter((entry) => !isRefused(entry));
    return batch.filter((entry) => !isRefused(entry));
  }

  #fail(entries: readonly Entry[], error: RunStoreError): void {
    for (const entry of entries) {
      this.#pendingBytes -= entry.bytes;
      entry.reject(error);
    }
  }

  #settle(order: number): void {
    this.#settledOrder = Math.max(this.#settledOrder, order);
    const due = this.#waiters.filter((waiter) => waiter.order <= this.#settledOrder);
    this.#waiters = this.#waiters.filter((waiter) => waiter.order > this.#settledOrder);
    for (const waiter of due) waiter.resolve();
  }
}

function bytesOf(op: WriterOp): number {
  switch (op.kind) {
    case "claim":
      return OP_OVERHEAD_BYTES + idsLength(op);
    case "append":
    case "finish":
      return OP_OVERHEAD_BYTES + op.events.length + (op.input?.length ?? 0);
    case "release":
    case "confirm":
    case "stop":
      return OP_OVERHEAD_BYTES;
  }
}

function idsLength(op: ClaimOp): number {
  let length = 0;
  for (const id of op.messageIds) length += id.length;
  return length;
}
