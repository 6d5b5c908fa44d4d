import { AsyncLocalStorage } from "node:async_hooks";
import { MAX_SEGMENT_LENGTH } from "../../events/json/segment.ts";
import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { Batch, BatchMessage, ClaimOp, OpResult, WriterOp } from "../../protocol/messages.ts";
import type { StoreStats } from "../run-store.ts";
import { Backoff } from "./backoff.ts";
import { Histogram } from "./histogram.ts";
import { Lingering } from "./lingering.ts";
import type { RunBuffer } from "./run-buffer.ts";

/** A batch that ended its writer this often is sent one operation at a time. */
const MAX_DEATHS = 3;
/**
 * Operations a batch holds at most: while the writer commits some, the main thread deals with the
 * acknowledgement of the others. One batch of all would have each wait for the other.
 */
const MAX_BATCH_OPS = 50;
/**
 * Batches under way at most: the writer has the next one when it is done with one, however busy the
 * main thread is.
 */
const MAX_FLIGHTS = 3;
/**
 * An operation that waits for so long waits for a writer that does not answer. Less is no evidence: an
 * agent that emits without a pause keeps the answers from being heard.
 */
const STUCK_MS = 10_000;
/** What an operation weighs beside its JSON: its ids, and its place in the queue. */
const OP_OVERHEAD_BYTES = 200;

/** A batch was not sent: no writer has taken a dead one's place yet, which is not the batch's doing. */
export class NoWriter extends RunStoreError {
  constructor(cause: RunStoreError) {
    super("WRITER_DIED", `no writer thread could open the file: ${cause.message}`, { cause });
  }
}

export interface BatcherOptions {
  readonly lingerMs: number;
  readonly maxBatchBytes: number;
  /** Sends a batch to the writer and resolves with its acknowledgement. */
  readonly send: (batch: Batch) => Promise<BatchMessage>;
  readonly onTrouble: (error: RunStoreError, message: string) => void;
}

interface Entry {
  readonly op: WriterOp;
  readonly bytes: number;
  readonly order: number;
  /** Milliseconds of `performance.now()`. */
  readonly queuedAt: number;
  readonly resolve: (result: OpResult) => void;
  readonly reject: (error: RunStoreError) => void;
  onStalled: ((error: RunStoreError) => void) | null;
}

/** A batch that was sent. */
interface Flight {
  readonly entries: readonly Entry[];
  readonly sentAt: number;
  readonly answer: Promise<BatchMessage>;
}

/**
 * Gathers operations and sends them to the writer in batches, in order.
 *
 * While some are under way the next one gathers: group commit. Claims and completions leave as soon
 * as there is a place; events linger, so that a short run never touches the journal. A batch stays
 * here until it is acknowledged, and is sent again when the writer died or the disk refused it; the
 * writer's operations are idempotent for that reason.
 *
 * A batch says which one it follows, and the writer refuses it when that one was not committed. So
 * the first that fails takes those behind it along: they come back into the queue, and it goes alone
 * until it is through.
 */
export class Batcher {
  readonly #options: BatcherOptions;
  /** Batches carry operations of many requests: they leave in the context of none of them. */
  readonly #inOwnContext = AsyncLocalStorage.snapshot();
  #queue: Entry[] = [];
  /** In the order in which they were sent, which is that of their answers. */
  #flights: Flight[] = [];
  #lastNumber = 0;
  #draining = false;
  readonly #lingering: Lingering;
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
    this.#lingering = new Lingering(options.lingerMs, (buffer) => this.#appendBuffer(buffer));
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
  enqueue(op: WriterOp, onStalled?: (error: RunStoreError) => void): Promise<OpResult> {
    if (this.#ended.signal.aborted) {
      return Promise.reject(new RunStoreError("RUNNER_CLOSED", "the runner is closed"));
    }
    const bytes = bytesOf(op);
    this.#pendingBytes += bytes;
    const { promise, resolve, reject } = Promise.withResolvers<OpResult>();
    const order = ++this.#lastOrder;
    const queuedAt = performance.now();
    const waiting = { resolve, reject, onStalled: onStalled ?? null };
    this.#queue.push({ op, bytes, order, queuedAt, ...waiting });
    if (!this.#draining) {
      this.#draining = true;
      // Whatever else is queued in this turn of the loop goes into the same batch.
      this.#inOwnContext(() => setImmediate(() => void this.#drain()));
    }
    return promise;
  }

  /** Says that `buffer` got `bytes` more; they are sent when they have lingered, or are many. */
  linger(buffer: RunBuffer, bytes: number): void {
    this.#pendingBytes += bytes;
    if (buffer.length >= Math.min(this.#options.maxBatchBytes, MAX_SEGMENT_LENGTH)) {
      this.#appendBuffer(buffer);
    } else {
      this.#lingering.add(buffer);
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
    this.#lingering.flush();
    const order = this.#lastOrder;
    if (this.#settledOrder >= order) return;
    await new Promise<void>((resolve) => this.#waiters.push({ order, resolve }));
  }

  /** Ends all waiting: what is not acknowledged is rejected with `error`. */
  end(error: RunStoreError): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#lingering.end();
    this.#fail([...this.#inFlight, ...this.#queue.splice(0)], error);
    this.#flights = [];
    // What lingered is lost with the rest.
    this.#pendingBytes = 0;
    this.#settle(this.#lastOrder);
  }

  stats(): Omit<StoreStats, "walBytes"> {
    return {
      queueDepth: this.#inFlight.length + this.#queue.length,
      queueBytes: this.#pendingBytes,
      lagMs: this.#lagMs,
      batches: this.#batches,
      batchSize: this.#batchSize.distribution(),
      commitMs: this.#commitMs.distribution(),
      lastError: this.#lastError,
    };
  }

  #appendBuffer(buffer: RunBuffer): void {
    const { input } = buffer;
    buffer.input = null;
    const { threadId, epoch } = buffer;
    const op = { kind: "append", threadId, epoch, input, ...this.take(buffer) } as const;
    this.enqueue(op).then(
      (result) => {
        if (!result.ok) buffer.onLost(RunStoreError.from(result.fault));
      },
      (error: RunStoreError) => buffer.onLost(error),
    );
  }

  async #drain(): Promise<void> {
    for (;;) {
      this.#launchMore();
      const [first] = this.#flights;
      if (first === undefined) break;
      const acknowledge = await this.#land(first);
      if (this.#ended.signal.aborted) return;
      this.#flights.shift();
      // What those who are told have to do is done while the writer is busy again.
      this.#launchMore();
      acknowledge();
      this.#settle((this.#firstOpen?.order ?? this.#lastOrder + 1) - 1);
      // And in a turn of the loop of its own: several answers may have come in this one.
      await nextTurn();
      if (this.#ended.signal.aborted) return;
    }
    this.#draining = false;
  }

  #launchMore(): void {
    while (this.#queue.length > 0 && this.#flights.length < MAX_FLIGHTS) {
      this.#flights.push(this.#launch(this.#takeBatch()));
    }
  }

  get #inFlight(): readonly Entry[] {
    return this.#flights.flatMap(({ entries }) => entries);
  }

  /**
   * All before this one is settled: entries that were put back to go alone stand in the queue again,
   * and claims that were refused stand nowhere.
   */
  get #firstOpen(): Entry | undefined {
    return this.#flights[0]?.entries[0] ?? this.#queue[0];
  }

  get #lagMs(): number {
    return this.#firstOpen === undefined ? 0 : performance.now() - this.#firstOpen.queuedAt;
  }

  #takeBatch(): readonly Entry[] {
    let count = 0;
    let bytes = 0;
    for (const entry of this.#queue) {
      const weight = entry.bytes + journalRead(entry.op);
      if (count > 0 && bytes + weight > this.#options.maxBatchBytes) break;
      bytes += weight;
      count++;
      if (entry.order <= this.#aloneUpTo || count === MAX_BATCH_OPS) break;
    }
    return this.#queue.splice(0, count);
  }

  #launch(entries: readonly Entry[]): Flight {
    const follows = this.#flights.length > 0 ? this.#lastNumber : null;
    const number = ++this.#lastNumber;
    const answer = this.#options.send({ ops: entries.map(({ op }) => op), number, follows });
    // Of those that are recalled, nobody asks.
    answer.catch(() => {});
    return { entries, sentAt: performance.now(), answer };
  }

  /**
   * Waits until the first flight is acknowledged, sending it again as long as it may be, or until it
   * is certain that it never will be. Returns what is to be done to tell those who wait for it.
   */
  async #land(first: Flight): Promise<() => void> {
    let flight = first;
    let deaths = 0;
    for (let attempt = 0; ; attempt++) {
      const { entries, sentAt } = flight;
      try {
        const { results } = await flight.answer;
        this.#backoff.succeeded();
        this.#batches++;
        this.#batchSize.record(entries.length);
        this.#commitMs.record(performance.now() - sentAt);
        return () => this.#acknowledge(entries, results);
      } catch (cause) {
        if (this.#ended.signal.aborted) return nothing;
        const error = toRunStoreError(cause);
        this.#lastError = error;
        await this.#recall();
        if (!error.retryable) return () => this.#fail(entries, error);
        const hasDied = error.code === "WRITER_DIED" && !(error instanceof NoWriter);
        if (hasDied && ++deaths === MAX_DEATHS) {
          return this.#isolate(entries, error);
        }
        this.#options.onTrouble(error, "storing failed and is tried again");
        const batch = this.#reportStall(entries, error);
        this.#flights = [{ ...flight, entries: batch }];
        if (batch.length === 0) return nothing;
        await this.#backoff.wait(hasDied ? attempt - 1 : attempt);
        if (this.#ended.signal.aborted) return nothing;
        this.#flights = [];
        flight = this.#launch(batch);
        this.#flights = [flight];
      }
    }
  }

  /**
   * Puts the batches behind the first one back into the queue, once it is certain that none of them
   * will be committed any more.
   */
  async #recall(): Promise<void> {
    const [first, ...later] = this.#flights;
    await Promise.allSettled(later.map(({ answer }) => answer));
    if (first === undefined || this.#ended.signal.aborted) return;
    this.#flights = [first];
    this.#queue.unshift(...later.flatMap(({ entries }) => entries));
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
  #isolate(batch: readonly Entry[], error: RunStoreError): () => void {
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
   * When failures have gone on for a while, tells those who wait for a completion, and refuses the
   * claims and the stops: a run that has not begun is better refused than left waiting, and who asks
   * another process for something wants to know. Returns what is to be sent on.
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

const nothing = () => {};
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

function bytesOf(op: WriterOp): number {
  switch (op.kind) {
    case "claim":
      return OP_OVERHEAD_BYTES + idsLength(op);
    case "append":
    case "finish":
      return OP_OVERHEAD_BYTES + op.events.length + (op.input?.length ?? 0);
    case "compact":
    case "release":
    case "withdraw":
    case "giveUp":
    case "confirm":
    case "stop":
      return OP_OVERHEAD_BYTES;
  }
}

/** What of a journal the writer has to read for an operation, in UTF-16 units. */
function journalRead(op: WriterOp): number {
  if (op.kind === "finish") return op.unread;
  return op.kind === "compact" ? op.length : 0;
}

function idsLength(op: ClaimOp): number {
  let length = 0;
  for (const id of op.messageIds) length += id.length;
  return length;
}
