import { setTimeout as delay } from "node:timers/promises";
import { RunStoreError } from "../../src/protocol/errors.ts";
import type * as messages from "../../src/protocol/messages.ts";
import type { BackendNotice, CommittedBatch, Durability } from "../../src/store/queued/backend.ts";
import { MemoryBackend } from "../support/memory-backend.ts";
import type { MemoryDatabase, Thread } from "../support/memory-database.ts";
import { type Call, LEASE_MS, type Trouble } from "./plan.ts";
import type { TakenRecord } from "./records.ts";

/** What the calls of a backend meet at this moment. */
export interface Conditions {
  troubleOf(call: Call): { readonly how: Trouble; readonly byMs: number } | null;
  isUnstorable(threadId: string): boolean;
  isWriterDead(): boolean;
  /** What a write meets instead of the database, or null. */
  writeFault(): RunStoreError | null;
  /** Is told of each claim that takes a thread. */
  noteTaken(taken: TakenRecord): void;
}

const HOP_MS = 1;
const SYNC_AGAIN_MS = 50;
const SYNC_STALL_MS = 5000;

const failure = () => new RunStoreError("IO_ERROR", "the simulated disk failed");

/** A backend whose calls take time, come to nothing, or are answered late or not at all. */
export class TroubledBackend extends MemoryBackend {
  override readonly durability: Durability = {
    sync: (onStalled) => this.#sync(onStalled),
    idle: () => this.#syncsDone(),
  };
  readonly #instanceId: string;
  readonly #conditions: Conditions;
  /** Resolves when the batch that was sent last has come to the database: batches keep their order. */
  #arrival: Promise<unknown> = Promise.resolve();
  /** The thread that writes. Rejects when it dies. */
  #writer = Promise.withResolvers<never>();
  readonly #closed = Promise.withResolvers<never>();
  #syncs = 0;
  #idleWaiters: (() => void)[] = [];

  constructor(database: MemoryDatabase, instanceId: string, conditions: Conditions) {
    super(database, instanceId, LEASE_MS);
    this.#instanceId = instanceId;
    this.#conditions = conditions;
    this.#closed.promise.catch(() => undefined);
    this.#writer.promise.catch(() => undefined);
  }

  override onNotice(listener: (notice: BackendNotice) => void): void {
    super.onNotice((notice) => {
      const trouble = this.#conditions.troubleOf("notice");
      // What an instance finds out about itself does not travel.
      if (trouble === null || notice.kind === "overslept") listener(notice);
      else if (trouble.how === "slow" || trouble.how === "late") {
        setTimeout(() => listener(notice), trouble.byMs);
      }
    });
  }

  override async commit(batch: messages.Batch): Promise<CommittedBatch> {
    await delay(HOP_MS);
    if (this.#conditions.isWriterDead()) {
      throw new RunStoreError("NO_WRITER", "no simulated writer");
    }
    const { promise } = this.#writer;
    return Promise.race([promise, this.#commit(batch)]);
  }

  override readPage(request: messages.PageRequest): Promise<messages.HistoryPageMessage> {
    return this.#read("read", () => super.readPage(request));
  }

  override running(request: messages.RunningRequest): Promise<messages.RunningMessage> {
    return this.#read("read", () => super.running(request));
  }

  override look(request: messages.LookRequest): Promise<messages.LookMessage> {
    return this.#read("look", () => super.look(request));
  }

  override async close(error: RunStoreError): Promise<void> {
    this.#closed.reject(error);
    await super.close();
  }

  protected override write<T>(change: () => T): T {
    const fault = this.#conditions.writeFault();
    if (fault !== null) throw fault;
    return super.write(change);
  }

  protected override apply(op: messages.WriterOp, thread: Thread): messages.OpResult {
    if (op.kind !== "claim") return super.apply(op, thread);
    const { epoch, holder: from } = thread;
    const result = super.apply(op, thread);
    if (thread.epoch > epoch) {
      const by = { ownerId: this.#instanceId, claimNumber: op.number };
      this.#conditions.noteTaken({ threadId: op.threadId, epoch: thread.epoch, by, from });
    }
    return result;
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
    const { results } = await super.commit({ ...batch, ops: storable });
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
