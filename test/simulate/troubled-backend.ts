import { setTimeout as delay } from "node:timers/promises";
import { RunStoreError } from "../../src/protocol/errors.ts";
import type * as messages from "../../src/protocol/messages.ts";
import type {
  Backend,
  BackendNotice,
  BackendStatus,
  CommittedBatch,
  Durability,
} from "../../src/store/queued/backend.ts";
import type { MemoryBackend } from "../support/memory-backend.ts";
import type { Call, Trouble } from "./plan.ts";

/** What the calls of a backend meet at this moment. */
export interface Conditions {
  troubleOf(call: Call): { readonly how: Trouble; readonly byMs: number } | null;
  isUnstorable(threadId: string): boolean;
  isWriterDead(): boolean;
}

const HOP_MS = 1;
const SYNC_AGAIN_MS = 50;
const SYNC_STALL_MS = 5000;

const failure = () => new RunStoreError("IO_ERROR", "the simulated disk failed");

/** A backend whose calls take time, come to nothing, or are answered late or not at all. */
export class TroubledBackend implements Backend {
  readonly durability: Durability = {
    sync: (onStalled) => this.#sync(onStalled),
    idle: () => this.#syncsDone(),
  };
  readonly #inner: MemoryBackend;
  readonly #conditions: Conditions;
  /** Resolves when the batch that was sent last has come to the database: batches keep their order. */
  #arrival: Promise<unknown> = Promise.resolve();
  /** The thread that writes. Rejects when it dies. */
  #writer = Promise.withResolvers<never>();
  readonly #closed = Promise.withResolvers<never>();
  #syncs = 0;
  #idleWaiters: (() => void)[] = [];

  constructor(inner: MemoryBackend, conditions: Conditions) {
    this.#inner = inner;
    this.#conditions = conditions;
    this.#closed.promise.catch(() => undefined);
    this.#writer.promise.catch(() => undefined);
  }

  onNotice(listener: (notice: BackendNotice) => void): void {
    this.#inner.onNotice((notice) => {
      const trouble = this.#conditions.troubleOf("notice");
      // What an instance finds out about itself does not travel.
      if (trouble === null || notice.kind === "overslept") listener(notice);
      else if (trouble.how === "slow" || trouble.how === "late") {
        setTimeout(() => listener(notice), trouble.byMs);
      }
    });
  }

  open(): Promise<void> {
    return this.#inner.open();
  }

  async commit(batch: messages.Batch): Promise<CommittedBatch> {
    await delay(HOP_MS);
    if (this.#conditions.isWriterDead()) {
      throw new RunStoreError("NO_WRITER", "no simulated writer");
    }
    const { promise } = this.#writer;
    return Promise.race([promise, this.#commit(batch)]);
  }

  readPage(request: messages.PageRequest): Promise<messages.HistoryPageMessage> {
    return this.#read("read", () => this.#inner.readPage(request));
  }

  running(request: messages.RunningRequest): Promise<messages.RunningMessage> {
    return this.#read("read", () => this.#inner.running(request));
  }

  look(request: messages.LookRequest): Promise<messages.LookMessage> {
    return this.#read("look", () => this.#inner.look(request));
  }

  watch(): void {
    this.#inner.watch();
  }

  check(): Promise<void> {
    return this.#inner.check();
  }

  async close(error: RunStoreError): Promise<void> {
    this.#closed.reject(error);
    await this.#inner.close();
  }

  status(): BackendStatus {
    return this.#inner.status();
  }

  /** Ends the thread that writes. What it has not begun is not done, and what it was sent is not answered. */
  loseWriter(): void {
    const lost = this.#writer;
    this.#writer = Promise.withResolvers<never>();
    this.#writer.promise.catch(() => undefined);
    // What it has begun is done by then: a batch whose call was rejected is not committed later.
    const error = new RunStoreError("WRITER_DIED", "the simulated writer died");
    setTimeout(() => lost.reject(error), HOP_MS);
  }

  async #commit(batch: messages.Batch): Promise<CommittedBatch> {
    const writer = this.#writer;
    const { how = null, byMs = 0 } = this.#conditions.troubleOf("commit") ?? {};
    const before = this.#arrival;
    const arrival = delay(how === "late" ? byMs : HOP_MS).then(() => before);
    this.#arrival = arrival;
    await arrival;
    if (how === "fails" || writer !== this.#writer) throw failure();
    const committed = await this.#commitStorable(batch);
    await delay(how === "slow" ? byMs : HOP_MS);
    if (how === "lost") throw failure();
    return committed;
  }

  async #commitStorable({ ops, ...batch }: messages.Batch): Promise<CommittedBatch> {
    const isStorable = (op: messages.WriterOp) =>
      op.kind !== "finish" || !this.#conditions.isUnstorable(op.threadId);
    const storable = ops.filter(isStorable);
    const { results } = await this.#inner.commit({ ...batch, ops: storable });
    const message = "the simulated run cannot be stored";
    const unstored = { ok: false, fault: { code: "STORE_FAILED", message } } as const;
    return { results: ops.map((op) => results[storable.indexOf(op)] ?? unstored) };
  }

  async #read<T>(call: Call, read: () => Promise<T>): Promise<T> {
    const { how = null, byMs = 0 } = this.#conditions.troubleOf(call) ?? {};
    await delay(how === "late" ? byMs : HOP_MS);
    if (how === "fails") throw failure();
    const answer = await read();
    await delay(how === "slow" ? byMs : HOP_MS);
    if (how === "lost") throw failure();
    return answer;
  }

  async #sync(onStalled: (error: RunStoreError) => void): Promise<void> {
    const askedAt = performance.now();
    let isTold = false;
    this.#syncs++;
    try {
      for (;;) {
        const { how = null, byMs = 0 } = this.#conditions.troubleOf("sync") ?? {};
        const ms = how === null ? HOP_MS : Math.max(byMs, SYNC_AGAIN_MS);
        await Promise.race([this.#closed.promise, delay(ms)]);
        if (how !== "fails") return;
        if (isTold || performance.now() - askedAt < SYNC_STALL_MS) continue;
        isTold = true;
        onStalled(failure());
      }
    } finally {
      this.#syncs--;
      if (this.#syncs === 0) for (const wake of this.#idleWaiters.splice(0)) wake();
    }
  }

  async #syncsDone(): Promise<void> {
    if (this.#syncs === 0) return;
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }
}
