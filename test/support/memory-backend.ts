import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate as nextTask } from "node:timers/promises";
import { RunStoreError, toRunStoreError } from "../../src/protocol/errors.ts";
import type * as messages from "../../src/protocol/messages.ts";
import { isVisible } from "../../src/protocol/scope.ts";
import { BatchOrder } from "../../src/runs/batch-order.ts";
import { tellFollower } from "../../src/runs/follow.ts";
import { fillPage } from "../../src/runs/history-page.ts";
import { liveRunOf, type ThreadHolder, threadNow } from "../../src/runs/holder.ts";
import { OWNER_DIED } from "../../src/runs/interrupted.ts";
import { Heartbeats, isInstanceAlive } from "../../src/runs/liveness.ts";
import { OwnHeartbeat } from "../../src/runs/own-heartbeat.ts";
import type * as port from "../../src/store/queued/backend.ts";
import type { MemoryDatabase, Thread } from "./memory-database.ts";
import { apply, recover } from "./memory-operations.ts";

/**
 * One instance on a `MemoryDatabase`: the interface `Backend` at its simplest. It asks the rules of `src/runs`,
 * as every backend does. There is no file, no thread and no SQL.
 */
export class MemoryBackend implements port.Backend {
  readonly durability: port.Durability | null = null;
  readonly #database: MemoryDatabase;
  readonly #instanceId: string;
  readonly #order = new BatchOrder();
  readonly #own: OwnHeartbeat;
  readonly #heartbeats = new Heartbeats();
  /** Set while the database is open. */
  #timer: NodeJS.Timeout | undefined;
  /** A row that was lost is not written again with a number that it had before. */
  #beats = 0;
  #isClosed = false;
  #lastError: RunStoreError | null = null;
  #tell: (notice: port.BackendNotice) => void = () => {};
  /** Called by other instances: what it does is done later, and not in their async context. */
  readonly #onChange = AsyncLocalStorage.bind(() => setImmediate(() => this.#tellChange()));

  constructor(database: MemoryDatabase, instanceId: string, leaseMs: number) {
    this.#database = database;
    this.#instanceId = instanceId;
    this.#own = new OwnHeartbeat(leaseMs);
  }

  onNotice(listener: (notice: port.BackendNotice) => void): void {
    this.#tell = listener;
  }

  /** No database answers in the task in which it was asked. */
  async open(): Promise<void> {
    await nextTask();
    if (this.#isClosed) throw new RunStoreError("RUNNER_CLOSED", "the store is closed");
    if (this.#timer !== undefined) return;
    this.#beat();
    this.#timer = setInterval(() => this.#tryToBeat(), this.#own.intervalMs).unref();
    this.#database.listeners.set(this.#instanceId, this.#onChange);
  }

  async commit(batch: messages.Batch): Promise<port.CommittedBatch> {
    await this.open();
    if (this.#own.isLate) this.#beat();
    this.#order.expectNext(batch);
    const results = this.write(() => {
      // A restored backup may lack the row of this instance.
      if (!this.#database.instances.has(this.#instanceId)) this.#writeRow();
      return batch.ops.map((op) => this.apply(op, this.#database.thread(op.threadId)));
    });
    this.#order.committed(batch);
    this.#database.tellOthers(this.#instanceId);
    return { results };
  }

  async readPage(request: messages.PageRequest): Promise<messages.HistoryPageMessage> {
    await this.open();
    const { threadId, scope, cursor, runs } = request;
    const thread = this.#database.threadIn(scope, threadId);
    const upToId = thread.runs.length;
    const from = cursor ?? { afterId: Math.max(0, upToId - (runs ?? upToId)), chunk: 0, upToId };
    const page = fillPage(thread.runs.slice(from.afterId, from.upToId), from);
    const now = threadNow(this.#holderOf(thread), thread.epoch, this.#instanceId);
    return { ...page, ...(cursor === null ? now : { live: null, endedUpTo: 0 }) };
  }

  async running({ threadId, scope }: messages.RunningRequest): Promise<messages.RunningMessage> {
    await this.open();
    const { resourceId } = this.#database.thread(threadId);
    const isOthers = resourceId !== undefined && !isVisible(scope, resourceId);
    const thread = this.#database.threadIn(scope, threadId);
    const holder = thread.stop === null ? this.#holderOf(thread) : null;
    return { run: liveRunOf(holder, this.#instanceId), isOthers };
  }

  async look({ runs, threads }: messages.LookRequest): Promise<messages.LookMessage> {
    await this.open();
    const holders = threads.map((threadId) => this.#holderOf(this.#database.thread(threadId)));
    return {
      runs: runs.map((run) => follow(run, this.#database.thread(run.threadId))),
      held: holders.map((holder) => holder?.isAlive === true),
    };
  }

  /** It is told of every change as it is. */
  watch(): void {}

  async check(): Promise<void> {}

  async close(_error?: RunStoreError): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#database.listeners.delete(this.#instanceId);
    this.#database.instances.delete(this.#instanceId);
    this.#database.tellOthers(this.#instanceId);
  }

  status(): port.BackendStatus {
    return { opened: this.#timer !== undefined, walBytes: 0, lastError: this.#lastError };
  }

  /** Every change of the database that may fail is made in here. */
  protected write<T>(change: () => T): T {
    return change();
  }

  protected apply(op: messages.WriterOp, thread: Thread): messages.OpResult {
    return apply(op, thread, this.#holderOf(thread), this.#instanceId);
  }

  /** After a heartbeat that fails, the next one comes at its time. */
  #tryToBeat(): void {
    try {
      this.#beat();
    } catch (error) {
      this.#lastError = toRunStoreError(error);
    }
  }

  /** Writes the heartbeat, judges those of the others, and ends the runs of the dead. */
  #beat(): void {
    this.write(() => this.#writeRow());
    const { overslept, writableMs } = this.#own.beaten();
    if (overslept) this.#tell({ kind: "overslept" });
    this.#heartbeats.observe([...this.#database.instances.values()], writableMs);
    const isOrphaned = (thread: Thread) => this.#holderOf(thread)?.isAlive === false;
    const orphaned = [...this.#database.threads].filter(([, thread]) => isOrphaned(thread));
    for (const [threadId, thread] of orphaned) recover(threadId, thread, OWNER_DIED);
    if (orphaned.length > 0) this.#database.tellOthers(this.#instanceId);
    this.#tellChange();
  }

  #writeRow(): void {
    const { instances } = this.#database;
    const instanceId = this.#instanceId;
    instances.set(instanceId, { instanceId, leaseMs: this.#own.leaseMs, beat: ++this.#beats });
  }

  #holderOf({ holder, epoch }: Thread): ThreadHolder | null {
    return holder && { ...holder, epoch, isAlive: this.#isAlive(holder.ownerId) };
  }

  #isAlive(instanceId: string): boolean {
    if (instanceId === this.#instanceId) return true;
    const row = this.#database.instances.get(instanceId);
    if (row === undefined) return false;
    const stillMs = this.#heartbeats.stillMs(row);
    return isInstanceAlive({ ...row, isProcessThere: null, lockFreeMs: null, stillMs });
  }

  /** A request to stop is told until its run has ended: the run may not be known yet. */
  #tellChange(): void {
    for (const [threadId, { epoch, holder, stop }] of this.#database.threads) {
      if (stop === null || holder?.ownerId !== this.#instanceId) continue;
      this.#tell({ kind: "stop", threadId, epoch, discard: stop === "discard" });
    }
    this.#tell({ kind: "changed" });
  }
}

/** `afterId` counts the segments that are known. */
function follow(request: messages.FollowRequest, thread: Thread): messages.FollowMessage {
  const { epoch, afterId } = request;
  const all = thread.journals.get(epoch) ?? [];
  const running = thread.epoch === epoch && thread.holder !== null;
  const news = { segments: all.slice(afterId), afterId: all.length, more: false, running };
  return tellFollower(request, news, () => thread.storedRun(epoch)?.events ?? null);
}
