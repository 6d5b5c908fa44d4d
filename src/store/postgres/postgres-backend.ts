import { setTimeout as delay } from "node:timers/promises";
import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import type {
  Batch,
  HistoryPageMessage,
  KeepViewRequest,
  LookMessage,
  LookRequest,
  OpResult,
  PageRequest,
  RunInputMessage,
  RunInputRequest,
  RunningMessage,
  RunningRequest,
  ViewMessage,
  ViewRequest,
  WriterOp,
} from "../../protocol/messages.ts";
import type { RunKey } from "../../protocol/run-key.ts";
import { withDeadline } from "../../protocol/with-deadline.ts";
import { STOP_AND_DISCARD } from "../../runs/holder.ts";
import { recoveryChannel } from "../../telemetry/channels.ts";
import type {
  Backend,
  BackendNotice,
  BackendStatus,
  CommittedBatch,
  ThreadReads,
  ThreadWrites,
} from "../queued/backend.ts";
import type { ThreadTransfer } from "../thread-transfer.ts";
import { textArray } from "./binary-arrays.ts";
import { Compactor } from "./compactor.ts";
import { Connection } from "./connection.ts";
import type { PgResult } from "./driver.ts";
import { HeartbeatLoop } from "./heartbeat-loop.ts";
import { type DeadHost, Hosts } from "./hosts.ts";
import { type InterruptedRunsContext, offeredRuns } from "./interrupted-runs.ts";
import { KnownMessages } from "./known-messages.ts";
import { Lane } from "./lane.ts";
import { LongRuns } from "./long-runs.ts";
import { NewsChannel } from "./news.ts";
import type { PostgresOp } from "./operations.ts";
import { Reads } from "./reads.ts";
import { Removals } from "./removal/removals.ts";
import { Slices } from "./removal/slices.ts";
import { keyValues } from "./row-writes.ts";
import { migrate } from "./schema.ts";
import { type Statement, type Statements, statementsOf } from "./statements.ts";
import { fromStored, toStored } from "./stored-ids.ts";
import { PostgresThreadReads } from "./threads/thread-reads.ts";
import { ThreadTouches, type Touch } from "./threads/thread-touches.ts";
import { ThreadUpkeep } from "./threads/thread-upkeep.ts";
import type { Outcome } from "./transaction.ts";
import { Views } from "./views.ts";

/** Connections that write. Two transactions at a time keep the server busy while this process prepares. */
const LANES = 2;

/** Milliseconds between two searches for journals that a host left which died while it kept them. */
const SWEEP_MS = 600_000;

/** Milliseconds for statements that read or clean whole tables. */
const PATIENCE_MS = 3_600_000;

/** Milliseconds that a search through a whole table may take. */
const UPKEEP_TIMEOUT_MS = 60_000;

/** Milliseconds between two tries of a read, at first and at most. */
const FIRST_RETRY_MS = 10;
const MAX_RETRY_MS = 500;

/** Milliseconds for which the journal of an ended run is kept for its followers. */
const RETAIN_MS = 30_000;

export interface PostgresBackendOptions {
  readonly connectionString: string;
  /** A connection that no pooler shares, for LISTEN. Default: `connectionString`. */
  readonly listenUrl?: string | undefined;
  /** The schema that holds the tables. */
  readonly schema: string;
  readonly prepare: boolean;
  readonly answerTimeoutMs: number;
  readonly instanceId: string;
  readonly leaseMs: number;
  readonly interruptedNote: string | false;
  /** Whether the runs of this instance are offered for a rerun after a crash, and whether it takes such runs. */
  readonly offersInterrupted: boolean;
  readonly logger: Logger;
}

/** A database of PostgreSQL, shared by any number of hosts. */
export class PostgresBackend implements Backend {
  /** A commit of PostgreSQL is durable. */
  readonly durability = null;
  readonly threads: ThreadReads;
  readonly threadWrites: ThreadWrites;
  readonly transfer: ThreadTransfer;
  readonly #options: PostgresBackendOptions;
  readonly #statements: Statements;
  readonly #lanes: readonly Lane[];
  readonly #connections: readonly Connection[];
  readonly #control: Connection;
  readonly #hosts: Hosts;
  readonly #heartbeats: HeartbeatLoop;
  readonly #news: NewsChannel;
  readonly #reads: Reads;
  readonly #views: Views;
  readonly #upkeep: ThreadUpkeep;
  readonly #removals: Removals;
  readonly #interruptedContext: InterruptedRunsContext;
  readonly #compactor = new Compactor();
  /** The epochs of the threads that this instance holds. */
  readonly #held = new Map<string, number>();
  /** Journals that are kept for followers, and until when. */
  #retained: { readonly run: RunKey; readonly until: number }[] = [];
  #nextSweepAt = 0;
  #notify: (notice: BackendNotice) => void = () => {};
  #opening: Promise<void> | null = null;
  #opened = false;
  /** Whether the last batch failed. */
  #isShaken = false;
  #closed = false;
  #lastError: RunStoreError | null = null;

  constructor(options: PostgresBackendOptions) {
    this.#options = options;
    const { connectionString, schema, prepare, answerTimeoutMs, instanceId, leaseMs } = options;
    const { offersInterrupted, logger } = options;
    this.#statements = statementsOf({ schema, answerTimeoutMs });
    const statements = this.#statements;
    const connection = { connectionString, prepare, answerTimeoutMs };
    const connect = () => this.#connect();
    this.#control = connect();
    const readConnection = connect();
    // A search takes longer than other reads: these do not wait for it.
    const listConnection = connect();
    const laneConnections = Array.from({ length: LANES }, connect);
    // Connected when a thread is removed first.
    const removal = connect();
    const patient = new Connection({ ...connection, answerTimeoutMs: PATIENCE_MS });
    this.#connections = [
      ...[this.#control, readConnection, listConnection, removal, patient],
      ...laneConnections,
    ];
    const own = { statements, instanceId };
    this.#hosts = new Hosts({
      connection: this.#control,
      ...own,
      leaseMs,
      answerTimeoutMs,
      offersInterrupted,
    });
    const isAlive = (id: string) => this.#hosts.isAlive(id);
    const expectKnown = (ids: readonly string[]) => this.#expectKnown(ids);
    this.#interruptedContext = {
      ...own,
      ...{ isAlive, expectKnown },
      offersInterrupted: (id) => (id === instanceId ? offersInterrupted : this.#hosts.offers(id)),
    };
    const compactor = this.#compactor;
    const touches = new ThreadTouches();
    const { interruptedNote } = options;
    const context = {
      ...{ ...this.#interruptedContext, interruptedNote, compactor, touches },
      messages: new KnownMessages(),
      ownHost: () => this.#hosts.newRow(),
      longRuns: new LongRuns(statements, compactor),
      isAlone: () => !this.#hosts.hasOthers,
      onCommitted: (outcome: Outcome) => this.#note(outcome),
    };
    this.#lanes = laneConnections.map((lane) => new Lane(lane, context));
    const lists = { connection: listConnection, ...own, isAlive, expectKnown, compactor };
    this.threads = this.#whenOpen(new PostgresThreadReads(lists, schema));
    this.#upkeep = new ThreadUpkeep({
      ...{ connection: listConnection, statements, compactor, touches, logger },
      write: (late) => this.#touchLate(late),
    });
    const slices = new Slices(removal, statements);
    this.#removals = new Removals({
      context: {
        ...{ ...own, slices, compactor, isAlive, expectKnown },
        onChanged: () => this.#changed(),
        onRunsChanged: (threadId) => this.#upkeep.note([threadId]),
      },
      patientConnection: patient,
      schema,
    });
    this.threadWrites = this.#whenWritable(this.#removals);
    this.transfer = this.#transferBy(this.#removals);
    this.#reads = new Reads({
      connection: readConnection,
      statements,
      instanceId,
      isAlive,
      expectKnown,
      compactor: this.#compactor,
    });
    this.#views = new Views({ connection: readConnection, statements, compactor: this.#compactor });
    this.#news = new NewsChannel({
      connection: { ...connection, connectionString: options.listenUrl ?? connectionString },
      notifier: this.#control,
      statements,
      schema,
      instanceId,
      logger,
      onNews: (news) => this.#hear(news),
    });
    this.#heartbeats = new HeartbeatLoop({
      beat: () => this.#beat(),
      intervalMs: () => this.#hosts.intervalMs,
      duties: {
        "looking for stops": () => this.#lookForStops(),
        "ending the runs of dead hosts": () => this.#reap().then(() => this.#offerInterrupted()),
        "deleting journals": () => this.#forgetJournals(),
        "going on with removals": () => this.#resumeRemovals(),
        "asking whether LISTEN works": () => this.#news.check(),
      },
      onFailure: (error, what, isNew) => this.#reportFailure(error, `${what} failed`, isNew),
    });
  }

  onNotice(listener: (notice: BackendNotice) => void): void {
    this.#notify = listener;
  }

  open(): Promise<void> {
    this.#opening ??= this.#open().catch((error: RunStoreError) => {
      this.#opening = null;
      this.#lastError = error;
      throw error;
    });
    return this.#opening;
  }

  async commit(batch: Batch): Promise<CommittedBatch> {
    await this.open();
    // After a failure, the server may be one that was restored without the row of this host.
    if (this.#isShaken || this.#hosts.isLate) await this.#beat();
    const { ops } = batch;
    const results: OpResult[] = [];
    const parts = this.#lanes.map(async (lane, at) => {
      const places = [...ops.keys()].filter((place) => this.#laneOf(ops[place]) === at);
      const part = places.map((place) => ops[place] as WriterOp);
      const answers = await lane.commit(batch, part);
      for (const [index, place] of places.entries()) results[place] = answers[index] as OpResult;
    });
    const settled = await Promise.allSettled(parts);
    const failed = settled.find((part) => part.status === "rejected");
    if (failed === undefined) return { results };
    this.#isShaken = true;
    this.#lastError = toRunStoreError(failed.reason);
    throw this.#lastError;
  }

  async readPage(request: PageRequest): Promise<HistoryPageMessage> {
    await this.open();
    return this.#retrying(() => this.#reads.page(request));
  }

  async readView(request: ViewRequest): Promise<ViewMessage> {
    await this.open();
    return this.#retrying(() => this.#views.read(request));
  }

  async readRunInput({ threadId, row }: RunInputRequest): Promise<RunInputMessage> {
    await this.open();
    return this.#retrying(() => this.#views.readRunInput(threadId, row));
  }

  async keepView(request: KeepViewRequest): Promise<void> {
    await this.open();
    await this.#views.keep(request);
  }

  async running(request: RunningRequest): Promise<RunningMessage> {
    await this.open();
    return this.#retrying(() => this.#reads.running(request));
  }

  async look(request: LookRequest): Promise<LookMessage> {
    await this.open();
    // Followers wait until the server is back, however long that takes.
    return this.#retrying(() => this.#reads.look(request), Number.POSITIVE_INFINITY);
  }

  watch(): void {
    this.#news.watch();
  }

  async check(): Promise<void> {}

  async probe(): Promise<void> {
    await this.open();
    await this.#beat();
  }

  async close(error: RunStoreError, stepMs: () => number): Promise<void> {
    void error;
    this.#closed = true;
    this.#heartbeats.end();
    if (this.#opened) {
      const hasThreadsLeft = await this.#endUpkeep(stepMs());
      const leavesWork = this.#held.size > 0 || hasThreadsLeft;
      const closing = this.#hosts.close({ leavesWork }).catch(() => undefined);
      await withDeadline(closing, stepMs());
      const told = this.#hosts.hasOthers ? this.#news.sayGoodbye() : Promise.resolve();
      await withDeadline(
        told.catch(() => undefined),
        stepMs(),
      );
    }
    await withDeadline(this.#news.end(), stepMs());
    await Promise.all(
      this.#connections.map((connection) => withDeadline(connection.end(), stepMs())),
    );
    await this.#compactor.end();
  }

  status(): BackendStatus {
    return { opened: this.#opened, walBytes: 0, lastError: this.#lastError };
  }

  async #open(): Promise<void> {
    if (this.#closed) throw new RunStoreError("RUNNER_CLOSED", "the runner is closed");
    await this.#control.use((send) => migrate(send, this.#options.schema));
    await this.#beat();
    this.#opened = true;
    // Before what may take longer than the lease.
    this.#heartbeats.start();
    await this.#news.open();
    await this.#reap();
    await this.#offerInterrupted();
    await this.#resumeRemovals();
  }

  #reportFailure(error: RunStoreError, message: string, isNew: boolean): void {
    this.#lastError = error;
    if (this.#closed) return;
    const { logger } = this.#options;
    const fields = { err: error, code: error.code };
    if (isNew) logger.warn(fields, message);
    else logger.debug(fields, message);
  }

  /** Executes a statement that may take long, over a connection of its own: heartbeats do not wait for it. */
  async #apart(statement: Statement, values: readonly unknown[] = []): Promise<PgResult> {
    const connection = this.#connect(UPKEEP_TIMEOUT_MS);
    try {
      return await connection.use((send) => send(statement, values));
    } finally {
      await connection.end();
    }
  }

  #connect(answerTimeoutMs = this.#options.answerTimeoutMs): Connection {
    const { connectionString, prepare } = this.#options;
    return new Connection({ connectionString, prepare, answerTimeoutMs });
  }

  async #beat(): Promise<void> {
    // It would bring back the row of a host that is closed.
    if (this.#closed) throw new RunStoreError("RUNNER_CLOSED", "the runner is closed");
    const { overslept } = await this.#hosts.beat();
    this.#isShaken = false;
    if (overslept) this.#notify({ kind: "overslept" });
  }

  /** Ends the runs of dead hosts. */
  async #reap(): Promise<void> {
    for (const host of this.#hosts.dead) await this.#endRunsOf(host);
  }

  async #endRunsOf(host: DeadHost): Promise<void> {
    const { instanceId: ownerId } = host;
    const { rows } = await this.#apart(this.#statements.threadsHeldBy, [ownerId]);
    for (const { thread_id } of rows) {
      const op: PostgresOp = { kind: "recover", threadId: fromStored(thread_id), ownerId };
      const lane = this.#lanes[this.#laneOf(op)];
      await lane?.commitApart([op]);
    }
    if (rows.length > 0) {
      const { logger, instanceId } = this.#options;
      if (recoveryChannel.hasSubscribers) {
        recoveryChannel.publish({ instanceId, runs: rows.length, error: null });
      }
      logger.warn({ recovered: rows.length, host: ownerId }, "recovered runs of a dead host");
      this.#notify({ kind: "changed" });
    }
    if (await this.#hosts.forget(host)) this.#upkeep.sweep();
  }

  /** Tells of the interrupted runs that this instance may run again, if it wants any. */
  async #offerInterrupted(): Promise<void> {
    if (!this.#options.offersInterrupted) return;
    const runs = await this.#control.use((send) => offeredRuns(this.#interruptedContext, send));
    if (runs.length > 0) this.#notify({ kind: "interrupted", runs });
  }

  async #touchLate(touches: ReadonlyMap<string, Touch>): Promise<void> {
    const ops = Array.from(
      touches,
      ([threadId, touch]): PostgresOp => ({ kind: "touch", threadId, ...touch }),
    );
    const parts = this.#lanes.map(async (lane, at) => {
      const part = ops.filter((op) => this.#laneOf(op) === at);
      if (part.length > 0) await lane.commitApart(part);
    });
    await Promise.all(parts);
  }

  /** Resolves with whether lists lack something that another host has to find. */
  async #endUpkeep(timeoutMs: number): Promise<boolean> {
    let isLeft = true;
    const ended = this.#upkeep.end(timeoutMs).then((left) => {
      isLeft = left;
    });
    await withDeadline(ended, timeoutMs);
    return isLeft;
  }

  /** Reads that open the database first, and that are tried again while the server is away. */
  #whenOpen(reads: ThreadReads): ThreadReads {
    const read = async <T>(ask: () => Promise<T>): Promise<T> => {
      await this.open();
      return this.#retrying(ask);
    };
    return {
      list: (request) =>
        read(async () => {
          // Otherwise threads could change their places in a list between two of its pages.
          if (request.after === null) await this.#upkeep.writeTouches();
          return reads.list(request);
        }),
      get: (request) => read(() => reads.get(request)),
      runs: (request) => read(() => reads.runs(request)),
      holders: (request) => read(() => reads.holders(request)),
    };
  }

  /** Long work on threads. `close` ends it in the middle. */
  async #longWork<T>(work: () => Promise<T>): Promise<T> {
    await this.open();
    try {
      return await work();
    } catch (cause) {
      if (!this.#closed) throw cause;
      throw new RunStoreError("RUNNER_CLOSED", "the runner is closed", { cause });
    }
  }

  #whenWritable(writes: ThreadWrites): ThreadWrites {
    const write = <T>(work: () => Promise<T>) => this.#longWork(work);
    return {
      deleteThread: (request) => write(() => writes.deleteThread(request)),
      forkThread: (request) => write(() => writes.forkThread(request)),
      erase: (request) => write(() => writes.erase(request)),
      purge: (request, watch) =>
        write(async () => {
          await this.#upkeep.writeTouches();
          return writes.purge(request, watch);
        }),
    };
  }

  /** Carries on in the background with what a dead host has left of removals. */
  async #resumeRemovals(): Promise<void> {
    const { hasUnfinished } = this.#statements;
    const { rows } = await this.#control.use((send) => send(hasUnfinished));
    if (rows.length === 0) return;
    void this.#removals.resume().catch((err: RunStoreError) => {
      const { logger } = this.#options;
      if (!this.#closed) logger.warn({ err, code: err.code }, "a removal could not be carried on");
    });
  }

  #transferBy(removals: Removals): ThreadTransfer {
    return {
      read: async (threadId, cursor, scope) => {
        await this.open();
        return this.#retrying(() => removals.export({ threadId, cursor, scope }));
      },
      write: (part) => this.#longWork(() => removals.import(part)),
      abandon: (threadId, importId) => removals.abandonImport(threadId, importId),
      // A commit of PostgreSQL is durable.
      flush: async () => {},
    };
  }

  /** A thread has become known or unknown, or is free. */
  #changed(): void {
    this.#notify({ kind: "changed" });
    if (this.#hosts.hasOthers) this.#news.tell([]);
  }

  #note({ isNews, stopped, ended, stored, threads }: Outcome): void {
    this.#upkeep.note(stored);
    for (const { threadId, epoch, claim, stop } of threads) {
      if (claim?.ownerId === this.#options.instanceId) {
        this.#held.set(threadId, epoch);
        if (stop > 0) this.#tellOfStop({ threadId, epoch }, stop);
      } else this.#held.delete(threadId);
    }
    const until = performance.now() + RETAIN_MS;
    for (const run of ended) this.#retained.push({ run, until });
    if (isNews && this.#hosts.hasOthers) this.#news.tell(stopped);
  }

  #hear({ isStop, isHello }: { readonly isStop: boolean; readonly isHello: boolean }): void {
    if (this.#closed) return;
    this.#notify({ kind: "changed" });
    const quietly = (step: Promise<void>) =>
      void step.catch((err: RunStoreError) => {
        this.#options.logger.debug({ err }, "what another host said could not be looked up");
      });
    if (isHello) quietly(this.#welcome());
    if (isStop) quietly(this.#lookForStops());
  }

  /** Another host has come or gone. */
  async #welcome(): Promise<void> {
    await this.#hosts.idle();
    await this.#beat();
    await this.#reap();
  }

  async #lookForStops(): Promise<void> {
    if (this.#held.size === 0) return;
    const { instanceId } = this.#options;
    const ids = textArray([...this.#held.keys()].map(toStored));
    const { rows } = await this.#control.use((send) =>
      send(this.#statements.ownStops, [ids, instanceId]),
    );
    for (const { thread_id, epoch, stop } of rows) {
      this.#tellOfStop({ threadId: fromStored(thread_id), epoch: Number(epoch) }, stop);
    }
  }

  /** Told as often as it is found: a run whose claim is not answered yet does not hear of it. */
  #tellOfStop(run: RunKey, stop: number): void {
    this.#notify({ kind: "stop", ...run, discard: stop === STOP_AND_DISCARD });
  }

  async #forgetJournals(): Promise<void> {
    const now = performance.now();
    const { begin, bounded, deleteJournals, deleteOldJournals, commit } = this.#statements;
    const due = this.#retained.filter(({ until }) => until <= now).map(({ run }) => run);
    if (due.length > 0) {
      await this.#control.use((send) =>
        Promise.all([
          send(begin),
          send(bounded),
          send(deleteJournals, keyValues(due)),
          send(commit),
        ]),
      );
      this.#retained = this.#retained.filter(({ until }) => until > now);
    }
    if (now < this.#nextSweepAt) return;
    this.#nextSweepAt = now + SWEEP_MS;
    await this.#apart(deleteOldJournals);
  }

  /** Reads the hosts again if one of these would count as dead. */
  async #expectKnown(ids: readonly string[]): Promise<void> {
    const mayBeWrong = () => ids.some((id) => this.#hosts.mayHaveCome(id));
    if (!mayBeWrong()) return;
    await this.#hosts.idle();
    if (mayBeWrong()) await this.#beat();
  }

  /**
   * Tries a read again while the server is away: it may only have been restarted. At least once: a half-open
   * connection uses up the time in which it gives no answer.
   */
  async #retrying<T>(
    read: () => Promise<T>,
    patienceMs = this.#options.answerTimeoutMs,
  ): Promise<T> {
    const deadline = performance.now() + patienceMs;
    for (let waitMs = FIRST_RETRY_MS; ; waitMs = Math.min(2 * waitMs, MAX_RETRY_MS)) {
      try {
        return await read();
      } catch (error) {
        const isLast = waitMs > FIRST_RETRY_MS && performance.now() + waitMs > deadline;
        if (isLast || this.#closed || !toRunStoreError(error).retryable) throw error;
        await delay(waitMs);
      }
    }
  }

  #laneOf(op: PostgresOp | undefined): number {
    let hash = 0;
    for (const char of op?.threadId ?? "") hash = (Math.imul(hash, 31) + char.charCodeAt(0)) | 0;
    return (hash >>> 0) % this.#lanes.length;
  }
}
