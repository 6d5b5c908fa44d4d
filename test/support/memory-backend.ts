import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate as nextTask } from "node:timers/promises";
import { RunStoreError } from "../../src/protocol/errors.ts";
import type * as messages from "../../src/protocol/messages.ts";
import { OWNER_DIED } from "../../src/runs/interrupted.ts";
import { Heartbeats, isInstanceAlive } from "../../src/runs/liveness.ts";
import type {
  Backend,
  BackendNotice,
  BackendStatus,
  CommittedBatch,
} from "../../src/store/queued/backend.ts";
import type { MemoryDatabase } from "./memory-database.ts";
import { MemoryOperations } from "./memory-operations.ts";

const BEATS_PER_LEASE = 3;

export interface MemoryBackendOptions {
  readonly database: MemoryDatabase;
  readonly instanceId: string;
  readonly leaseMs: number;
}

/**
 * One instance on a `MemoryDatabase`: the interface `Backend` at its simplest. It asks the rules of `src/runs`,
 * as every backend does. There is no file, no thread and no SQL.
 */
export class MemoryBackend implements Backend {
  readonly durability = null;
  readonly #database: MemoryDatabase;
  readonly #instanceId: string;
  readonly #leaseMs: number;
  readonly #operations: MemoryOperations;
  #tell: (notice: BackendNotice) => void = () => {};
  #state: "new" | "open" | "closed" = "new";
  #committedSeq: number | null = null;
  readonly #heartbeats = new Heartbeats();
  #beatenAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #telling: NodeJS.Immediate | null = null;
  /** Another instance calls it: what it does here is not done in that one's context. */
  readonly #onChange = AsyncLocalStorage.bind(() => this.#noteChange());

  constructor({ database, instanceId, leaseMs }: MemoryBackendOptions) {
    this.#database = database;
    this.#instanceId = instanceId;
    this.#leaseMs = leaseMs;
    const isAlive = (id: string) => this.#isAlive(id);
    this.#operations = new MemoryOperations({ database, instanceId, isAlive });
  }

  onNotice(listener: (notice: BackendNotice) => void): void {
    this.#tell = listener;
  }

  async open(): Promise<void> {
    await this.#reach();
  }

  async commit({ ops, seq, after }: messages.Batch): Promise<CommittedBatch> {
    await this.#reach();
    if (performance.now() - this.#beatenAt > 2 * this.#intervalMs) this.#beat();
    if (after !== null && after !== this.#committedSeq) {
      throw new RunStoreError("STORE_FAILED", "the batch before this one was not committed");
    }
    this.#expectWritable();
    // A restored backup may lack the row of this instance.
    if (!this.#database.instances.has(this.#instanceId)) this.#writeBeat();
    const results = ops.map((op) => this.#operations.apply(op));
    this.#committedSeq = seq;
    this.#database.changed(this.#instanceId);
    return { results };
  }

  async readPage(request: messages.PageRequest): Promise<messages.HistoryPageMessage> {
    await this.#reach();
    if (!this.#database.isVisible(request.threadId, request.scope)) {
      return { segments: [], next: null, live: null, endedUpTo: 0 };
    }
    return this.#database.page(request, this.#liveRun(request.threadId));
  }

  async running({ threadId, scope }: messages.RunningRequest): Promise<messages.RunningMessage> {
    await this.#reach();
    const { resourceId, stop } = this.#database.threads.get(threadId) ?? {};
    if (!this.#database.isVisible(threadId, scope)) {
      return { run: null, isOthers: resourceId !== undefined };
    }
    return { run: stop != null ? null : this.#liveRun(threadId), isOthers: false };
  }

  async look({ runs, threads }: messages.LookRequest): Promise<messages.LookMessage> {
    await this.#reach();
    return {
      runs: runs.map((run) => this.#database.follow(run)),
      held: threads.map((threadId) => this.#liveRun(threadId) !== null),
    };
  }

  /** It is told of every change as it is. */
  watch(): void {}

  async check(): Promise<void> {}

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#telling !== null) clearImmediate(this.#telling);
    this.#database.listeners.delete(this.#instanceId);
    if (this.#state === "open") this.#database.instances.delete(this.#instanceId);
    this.#database.changed(this.#instanceId);
    this.#state = "closed";
  }

  status(): BackendStatus {
    return { opened: this.#state !== "new", walBytes: 0, lastError: null };
  }

  get #intervalMs(): number {
    return this.#leaseMs / BEATS_PER_LEASE;
  }

  /** Opens the database if need be. No database answers in the task in which it was asked. */
  async #reach(): Promise<void> {
    this.#expectNotClosed();
    await nextTask();
    this.#expectNotClosed();
    if (this.#state === "open") return;
    this.#expectWritable();
    this.#writeBeat();
    this.#reap();
    this.#database.listeners.set(this.#instanceId, this.#onChange);
    this.#schedule();
    this.#state = "open";
  }

  #expectNotClosed(): void {
    if (this.#state === "closed") throw new RunStoreError("RUNNER_CLOSED", "the store is closed");
  }

  #expectWritable(): void {
    const fault = this.#database.writeFault(this.#instanceId);
    if (fault !== null) throw fault;
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      this.#schedule();
      this.#beat();
    }, this.#intervalMs);
    this.#timer.unref();
  }

  /** Writes the heartbeat, judges those of the others, and ends the runs of the dead. */
  #beat(): void {
    if (this.#database.writeFault(this.#instanceId) !== null) return;
    const sinceMs = performance.now() - this.#beatenAt;
    this.#writeBeat();
    if (sinceMs >= this.#leaseMs) this.#tell({ kind: "overslept" });
    // A heartbeat may be late because nobody could write: that time counts against no instance.
    const writableMs = sinceMs > 2 * this.#intervalMs ? 0 : sinceMs;
    this.#heartbeats.observe([...this.#database.instances.values()], writableMs);
    if (this.#reap()) this.#noteChange();
    this.#tellStops();
  }

  #writeBeat(): void {
    const { instances } = this.#database;
    const row = { instanceId: this.#instanceId, leaseMs: this.#leaseMs, beat: 0, isGone: false };
    const { beat } = instances.get(this.#instanceId) ?? row;
    instances.set(this.#instanceId, { ...row, beat: beat + 1 });
    this.#beatenAt = performance.now();
  }

  #noteChange(): void {
    this.#telling ??= setImmediate(() => {
      this.#telling = null;
      this.#tellStops();
      this.#tell({ kind: "changed" });
    });
  }

  /** A request is told until its run has ended: the run may not be known yet when it is told first. */
  #tellStops(): void {
    for (const { threadId, epoch, holder, stop } of this.#database.threads.values()) {
      if (stop === null || holder?.ownerId !== this.#instanceId) continue;
      this.#tell({ kind: "stop", threadId, epoch, discard: stop === "discard" });
    }
  }

  #reap(): boolean {
    const dead = [...this.#database.threads.values()].filter(
      ({ holder }) => holder !== null && !this.#isAlive(holder.ownerId),
    );
    for (const row of dead) this.#operations.recover(row, OWNER_DIED);
    return dead.length > 0;
  }

  #isAlive(instanceId: string): boolean {
    if (instanceId === this.#instanceId) return true;
    const row = this.#database.instances.get(instanceId);
    if (row === undefined) return false;
    const isProcessThere = row.isGone ? false : null;
    const stillMs = this.#heartbeats.stillMs(row);
    return isInstanceAlive({ isProcessThere, lockFreeMs: null, stillMs, leaseMs: row.leaseMs });
  }

  #liveRun(threadId: string): messages.HoldingRun | null {
    const { holder, epoch } = this.#database.threads.get(threadId) ?? { holder: null, epoch: 0 };
    if (holder === null || !this.#isAlive(holder.ownerId)) return null;
    const { runId, ownerId, claimNumber } = holder;
    return { runId, epoch, ownClaim: ownerId === this.#instanceId ? claimNumber : null };
  }
}
