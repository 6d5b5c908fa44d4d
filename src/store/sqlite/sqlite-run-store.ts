import { setTimeout as delay, setImmediate as nextTask } from "node:timers/promises";
import type { EventLike } from "../../events/event.ts";
import { serializeValue } from "../../events/json/serialize.ts";
import { RunStoreError, type StoreFault, toRunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import type {
  BackupRequest,
  Batch,
  BatchMessage,
  HistoryPageMessage,
  HoldingRun,
  LookMessage,
  OpenedFiles,
  OpenedMessage,
  OpResult,
  PageCursor,
  ReaderRequest,
  RunningMessage,
  WorkerConfig,
  WriterNotice,
  WriterRequest,
} from "../../protocol/messages.ts";
import { keyOf, type RunKey } from "../../protocol/run-key.ts";
import { Batcher, NoWriter } from "../queued/batcher.ts";
import { HeldRuns } from "../queued/held-runs.ts";
import { RunBuffer } from "../queued/run-buffer.ts";
import { RunTailer } from "../queued/run-tailer.ts";
import type {
  BackupOptions,
  BackupResult,
  ClaimedRun,
  ClaimOutcome,
  ClaimRequest,
  HistoryCursor,
  HistoryPage,
  HistorySegment,
  LiveRun,
  RunStore,
  StoreStats,
} from "../run-store.ts";
import { Backups, type BackupThread } from "./backups.ts";
import { enterFile, leaveFile } from "./open-files.ts";
import { WalSync } from "./wal-sync.ts";
import { WorkerPool } from "./worker-pool.ts";

export interface SqliteRunStoreOptions extends Omit<WorkerConfig, "file"> {
  readonly lingerMs: number;
  readonly maxBatchBytes: number;
  readonly maxPendingBytes: number;
  /** Reader threads. */
  readonly readers: number;
  readonly storeRawEvents: boolean;
  /** Whether a completed run is synced to the disk. */
  readonly durability: "full" | "normal";
  readonly logger: Logger;
}

interface Unsaved {
  readonly runId: string;
  readonly error: RunStoreError;
}

/**
 * What the last sync, and the last request to a writer, to checkpoint and end, may take each when no
 * time is left for closing. What is not done by then is in the WAL, for whoever opens the file next.
 */
const MIN_CLOSE_STEP_MS = 1000;
/** A busy server's WAL is about 32 MiB. */
const WAL_WARN_BYTES = 128 * 1024 * 1024;
/** How long to wait before a writer is asked for the second time to open the file; then twice as long. */
const REOPEN_MS = 20;
/** How often it is asked within a lease: as soon as it can beat its heart, the others can judge it. */
const REOPENS_PER_LEASE = 10;
/** UTF-16 units of a journal that are read and compacted in one batch. */
const PIECE_LENGTH = 1024 * 1024;
const READ_ATTEMPTS = 5;
/** While other processes open a file or recover it, SQLite may call it busy without waiting. */
const BUSY_READ_MS = 50;

/**
 * The SQLite store: one writer thread, some reader threads, and the batcher before the writer.
 * Nothing is made before its first use: no thread, no connection, no file.
 */
export class SqliteRunStore implements RunStore {
  readonly #options: SqliteRunStoreOptions;
  /** What threads that start from now on are given. */
  #config: WorkerConfig;
  readonly #writer: WorkerPool<WriterRequest>;
  readonly #readers: WorkerPool<ReaderRequest>;
  readonly #batcher: Batcher;
  /** Null when a commit is as durable as it is to get. */
  readonly #walSync: WalSync | null;
  readonly #tailer: RunTailer;
  readonly #backups: Backups;
  readonly #held = new HeldRuns();
  #opening: Promise<void> | null = null;
  #used = false;
  #opened = false;
  /** The path of the WAL while this store has it open. Null for a database in memory. */
  #file: string | null = null;
  #lastClaim = 0;
  /** The numbers of the claims that are not answered yet. */
  readonly #unanswered = new Set<number>();
  /** Called when any claim was answered. */
  #claimWaiters: (() => void)[] = [];
  /** Runs that could not be stored, with the reason; by `keyOf` the run. */
  readonly #unsaved = new Map<string, Unsaved>();
  /** Claims that were refused here, and may hold their thread in the file still. */
  readonly #withdrawn = new Set<number>();
  /** `keyOf` the runs that were to be released, and hold their thread in the file still. */
  readonly #unreleased = new Set<string>();
  /** Why nothing is stored any more: the file has lost its name. */
  #fileLost: RunStoreError | null = null;
  #reopening = false;
  /** A batch met the end of its writer, and no other writer has opened the file since. */
  #writerDied = false;
  readonly #closed = new AbortController();
  #walBytes = 0;
  #warnedWal = false;
  #toldMaintenance = "";

  constructor(options: SqliteRunStoreOptions) {
    this.#options = options;
    const { dbPath, instanceId, leaseMs, durability } = options;
    const config: WorkerConfig = { dbPath, instanceId, leaseMs, file: null };
    this.#config = config;
    const isMemory = dbPath === ":memory:";
    this.#writer = new WorkerPool({
      worker: "writer",
      threads: 1,
      config,
      diedCode: "WRITER_DIED",
      onDied: () => void this.#reopen(),
      onNotice: (notice) => this.#heed(notice),
    });
    // An in-memory database exists for the connection that made it only: its writer reads too.
    this.#readers = isMemory
      ? this.#writer
      : new WorkerPool({
          worker: "reader",
          threads: options.readers,
          config,
          diedCode: "READER_DIED",
        });
    const onTrouble = (error: RunStoreError, message: string) =>
      options.logger.error({ err: error, code: error.code }, message);
    this.#batcher = new Batcher({
      lingerMs: options.lingerMs,
      maxBatchBytes: options.maxBatchBytes,
      send: (batch) => this.#send(batch),
      onTrouble,
    });
    this.#walSync =
      isMemory || durability === "normal"
        ? null
        : new WalSync({
            wal: () => this.#openWal(),
            rewrite: () => this.#askWriter({ kind: "rewrite-wal" }),
            onTrouble,
          });
    this.#backups = new Backups({
      startThread: () => (isMemory ? this.#writerAsBackup() : this.#startBackup()),
      logger: options.logger,
    });
    this.#tailer = new RunTailer({
      look: (look) => this.#read<LookMessage>({ kind: "look", look }),
      onWanted: () => this.#watch(),
      parse: (json, { threadId, epoch }) => this.#parse(json, { threadId, epoch }),
    });
  }

  ready(): Promise<void> {
    if (this.#fileLost !== null) return Promise.reject(this.#fileLost);
    const isFirst = !this.#used;
    this.#used = true;
    this.#opening ??= this.#open().catch((error: RunStoreError) => {
      if (isFirst) this.#reportUnopened(error);
      // The next call tries again: the disk may have room by then.
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  async claim(request: ClaimRequest): Promise<ClaimOutcome> {
    this.#use();
    const number = ++this.#lastClaim;
    this.#unanswered.add(number);
    try {
      return await this.#claim(request, number);
    } finally {
      this.#unanswered.delete(number);
      if (this.#claimWaiters.length > 0) for (const wake of this.#claimWaiters.splice(0)) wake();
    }
  }

  async #claim(request: ClaimRequest, number: number): Promise<ClaimOutcome> {
    const { threadId, runId, messageIds, supersede } = request;
    const op = { kind: "claim", number, threadId, runId, messageIds, supersede } as const;
    const askedAt = performance.now();
    const result = await this.#batcher.enqueue(op).catch((error: RunStoreError) => {
      this.#withdraw(threadId, number);
      throw error;
    });
    if (result.ok && result.claim !== undefined) {
      const { epoch, seen } = result.claim;
      // So late an answer may be of a process that slept, and whose thread was taken over since.
      const isLate = performance.now() - askedAt > this.#options.leaseMs / 2;
      const run = { threadId, runId, epoch };
      if (isLate && !(await this.#confirm(run)).ok) return this.claim(request);
      const onLost = (error: RunStoreError) => {
        if (error.code !== "LEASE_LOST") {
          buffer.failure ??= error;
          this.#unsaved.set(keyOf(run), { runId, error });
        }
        request.onLost(error);
      };
      const rawEvents = this.#options.storeRawEvents;
      const buffer = new RunBuffer({ ...request, epoch }, { rawEvents }, onLost);
      this.#held.add({ buffer, onStopRequested: request.onStopRequested });
      return { kind: "claimed", run: this.#claimedRun(buffer), seen };
    }
    if (result.ok) throw new RunStoreError("STORE_FAILED", "the writer's claim has no epoch");
    const { code, message } = result.fault;
    if (code === "THREAD_ALREADY_RUNNING") return { kind: "refused", code, message };
    throw RunStoreError.from(result.fault);
  }

  async readHistory(threadId: string, cursor: HistoryCursor | null): Promise<HistoryPage> {
    const page = { threadId, cursor: cursor as PageCursor | null };
    const message = await this.#read<HistoryPageMessage>({ kind: "page", page });
    const segments: HistorySegment[] = [];
    for (const { events, ...segment } of message.segments) {
      const { runId } = segment;
      segments.push({ ...segment, events: this.#parse(events, { threadId, runId }) });
    }
    await this.#answered(message.live);
    const { next, endedUpTo } = message;
    return { segments, next, live: this.#unlessEnded(threadId, message.live), endedUpTo };
  }

  follow(
    threadId: string,
    epoch: number,
    signal: AbortSignal,
  ): AsyncIterable<readonly EventLike[]> {
    return this.#tailer.follow(threadId, epoch, signal);
  }

  async requestStop(threadId: string, runId: string | null): Promise<boolean> {
    this.#use();
    const result = await this.#batcher.enqueue({ kind: "stop", threadId, runId });
    if (!result.ok) throw RunStoreError.from(result.fault);
    return result.stopped === true;
  }

  released(threadId: string, signal: AbortSignal): Promise<void> {
    return this.#tailer.released(threadId, signal);
  }

  async runningRun(threadId: string): Promise<LiveRun | null> {
    const { run } = await this.#read<RunningMessage>({ kind: "running", threadId });
    return this.#unlessEnded(threadId, run);
  }

  get overloaded(): boolean {
    return this.#batcher.pendingBytes > this.#options.maxPendingBytes;
  }

  get stuck(): boolean {
    return this.overloaded && this.#batcher.stuck;
  }

  async flush(): Promise<void> {
    await this.#stored();
    this.#reportUnsaved("PERSISTENCE_FAILED");
    await this.#checkFile();
  }

  async close(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const stepMs = () => Math.max(deadline - performance.now(), MIN_CLOSE_STEP_MS);
    this.#tailer.end(new RunStoreError("RUNNER_CLOSED", "the runner is closed"));
    const backupsEnded = this.#backups.end();
    await this.#withDeadline(this.#stored(), timeoutMs);
    const { lastError } = this.stats();
    const reason = lastError === null ? "" : `: ${lastError.message}`;
    const error = new RunStoreError("PERSISTENCE_FAILED", `not stored when closed${reason}`);
    this.#batcher.end(error);
    this.#closed.abort();
    // A disk that hangs keeps its file open.
    await this.#withDeadline(this.#walSync?.end(error) ?? Promise.resolve(), stepMs());
    // Rejections of what was ended reach `#unsaved` before this goes on.
    await delay(0);
    try {
      // The writer's connection is to be the last: the last one takes the WAL file with it.
      if (this.#readers !== this.#writer) await this.#readers.destroy();
      if (this.#used) {
        await this.#withDeadline(this.#askWriter({ kind: "close" }), stepMs());
      }
    } catch (cause) {
      const error = toRunStoreError(cause);
      if (error.code !== "FILE_REPLACED") {
        this.#options.logger.error({ err: error, code: error.code }, "closing the database failed");
      }
    } finally {
      await this.#writer.destroy();
      await backupsEnded;
      if (this.#file !== null) leaveFile(this.#file);
      this.#file = null;
    }
    this.#reportUnsaved("CLOSE_INCOMPLETE");
    if (this.#fileLost !== null) {
      const { message } = this.#fileLost;
      throw new RunStoreError("CLOSE_INCOMPLETE", message, { cause: this.#fileLost });
    }
  }

  async backup(path: string, options: BackupOptions): Promise<BackupResult> {
    await this.ready();
    return this.#backups.make(path, options);
  }

  stats(): StoreStats {
    const stats = this.#batcher.stats();
    const lastError = this.#fileLost ?? this.#walSync?.lastError ?? stats.lastError;
    return { ...stats, walBytes: this.#walBytes, lastError };
  }

  /** Throws `FILE_REPLACED`. Whatever else is wrong with the writer, the next batch reports. */
  async #checkFile(): Promise<void> {
    // A store that was never used has no file that could be lost.
    if (this.#opening === null) return;
    await this.#askWriter({ kind: "check" }).catch((error: RunStoreError) => {
      if (error.code === "FILE_REPLACED") throw error;
    });
  }

  /** Resolves when all that was given to the store so far is on the disk, or never will be. */
  async #stored(): Promise<void> {
    await this.#batcher.flush();
    // Those who were told of their commit have asked for a sync by then.
    await nextTask();
    await this.#walSync?.idle();
  }

  async #askToOpen(): Promise<OpenedMessage> {
    const opened = await this.#askWriter<OpenedMessage>({ kind: "open" });
    if (opened.files !== null) {
      // A thread that takes a dead one's place opens this very file, or none.
      this.#config = { ...this.#config, file: opened.files.db };
      this.#writer.configure(this.#config);
      this.#readers.configure(this.#config);
    }
    return opened;
  }

  async #openWal(): Promise<OpenedFiles> {
    const { files } = await this.#askToOpen();
    if (files === null) throw new RunStoreError("STORE_FAILED", "a database in memory has no WAL");
    return files;
  }

  async #askWriter<V>(request: WriterRequest): Promise<V> {
    try {
      return await this.#writer.request<V>(request);
    } catch (cause) {
      const error = toRunStoreError(cause);
      if (error.code === "FILE_REPLACED") this.#loseFile(error);
      throw error;
    }
  }

  async #send(batch: Batch): Promise<BatchMessage> {
    if (this.#writerDied) await this.#openAgain();
    try {
      const message = await this.#askWriter<BatchMessage>({ kind: "batch", ...batch });
      this.#noteWal(message.walBytes);
      return message;
    } catch (cause) {
      const error = toRunStoreError(cause);
      // A file that was never open may be one that no writer can open.
      if (error.code === "WRITER_DIED") this.#writerDied = this.#config.file !== null;
      throw error;
    }
  }

  /**
   * Has a new writer open the file before it is given a batch: that a thread cannot start, or a file
   * that was open cannot be opened, is no fault of the batch. It passes, as when the process has no file
   * descriptor left for a while.
   */
  async #openAgain(): Promise<void> {
    try {
      await this.#askToOpen();
      this.#writerDied = false;
    } catch (cause) {
      const error = toRunStoreError(cause);
      const isKnown = error.retryable && error.code !== "WRITER_DIED";
      if (isKnown || error.code === "FILE_REPLACED") throw error;
      throw new NoWriter(error);
    }
  }

  #noteWal(bytes: number): void {
    this.#walBytes = bytes;
    if (bytes < WAL_WARN_BYTES) {
      this.#warnedWal = false;
    } else if (!this.#warnedWal) {
      this.#warnedWal = true;
      const { logger, dbPath } = this.#options;
      logger.warn(
        { dbPath, walBytes: bytes },
        "the WAL grows: a transaction of another program may have been open for long, which keeps SQLite from using the WAL's space again",
      );
    }
  }

  /** Nothing is stored any more, and nothing that was stored can be shown to be in the file. */
  #loseFile(error: RunStoreError): void {
    if (this.#fileLost !== null) return;
    this.#fileLost = error;
    const { logger, dbPath } = this.#options;
    logger.error({ err: error, code: error.code, dbPath }, "the database file is lost");
    this.#tailer.end(error);
    for (const { buffer } of [...this.#held]) buffer.onLost(error);
  }

  /** Opens the file before what is sent to the writer next, at the first use. */
  #use(): void {
    if (this.#used) return;
    this.ready().catch(() => undefined);
  }

  #reportUnopened(error: RunStoreError): void {
    const { logger, dbPath } = this.#options;
    logger.error({ err: error, code: error.code, dbPath }, "cannot open the database");
  }

  async #open(): Promise<void> {
    const { recovered, migratedFrom, files } = await this.#askToOpen();
    this.#opened = true;
    if (files !== null) {
      this.#enter(files.walPath);
      await this.#walSync?.prepare(files);
    }
    const { logger, dbPath } = this.#options;
    if (migratedFrom === 1) logger.info({ dbPath }, "migrated a version 1 database in place");
    this.#warnRecovered(recovered);
    // Starts a reader thread now, and not when the first client waits for its history.
    this.#read<RunningMessage>({ kind: "running", threadId: "" }).catch((error: RunStoreError) => {
      logger.debug({ err: error }, "the first reader thread did not start");
    });
  }

  /** A thread of its own: no history waits for a backup, and it can be ended in the middle. */
  #startBackup(): BackupThread {
    const pool = new WorkerPool<BackupRequest>({
      worker: "backup",
      threads: 1,
      config: this.#config,
      diedCode: "READER_DIED",
      onNotice: (notice) => this.#heed(notice),
    });
    let ended: Promise<void> | null = null;
    return {
      request: (request) => pool.request(request),
      destroy: () => {
        ended ??= pool.destroy();
        return ended;
      },
    };
  }

  /** Only the writer can read a database in memory, and it ends by itself. */
  #writerAsBackup(): BackupThread {
    return {
      request: (request) => this.#writer.request({ kind: "backup", ...request }),
      destroy: async () => undefined,
    };
  }

  /** Says so when this process has the file open already, and does not say it again for a third. */
  #enter(file: string): void {
    if (this.#file !== null || this.#closed.signal.aborted) return;
    this.#file = file;
    if (enterFile(file) !== 2) return;
    this.#options.logger.warn(
      { dbPath: this.#options.dbPath },
      "this process has another open runner on this database; if a hot reload left it open, keep " +
        "the runner across reloads: globalThis.runner ??= new SqliteAgentRunner(options)",
    );
  }

  /**
   * A writer opens the file at its first request, and until then no heart beats. So it is asked until
   * it has: another program may hold the lock, or the disk be full.
   */
  async #reopen(): Promise<void> {
    if (this.#opening === null || this.#reopening) return;
    this.#reopening = true;
    const { signal } = this.#closed;
    let told = "";
    for (let attempt = 0; !signal.aborted && this.#fileLost === null; attempt++) {
      try {
        await this.#askToOpen();
        break;
      } catch (cause) {
        const error = toRunStoreError(cause);
        const fields = { err: error, code: error.code };
        if (!signal.aborted && error.code !== told) {
          this.#options.logger.error(fields, "the writer could not reopen, and goes on trying");
        }
        told = error.code;
      }
      const ms = Math.min(REOPEN_MS * 2 ** attempt, this.#options.leaseMs / REOPENS_PER_LEASE);
      await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
    }
    this.#reopening = false;
  }

  /** The writer of this process finds out by itself that there are others, and late. */
  #watch(): void {
    this.#askWriter({ kind: "watch" }).catch((error: RunStoreError) => {
      this.#options.logger.debug({ err: error }, "the writer was not told to watch");
    });
  }

  #heed(notice: WriterNotice): void {
    switch (notice.kind) {
      case "backup":
        this.#backups.heed(notice);
        return;
      case "changed":
        this.#tailer.changed();
        return;
      case "recovered":
        this.#warnRecovered(notice);
        return;
      case "stop":
        this.#held.find(notice)?.onStopRequested(notice);
        return;
      case "replaced":
        this.#loseFile(RunStoreError.from(notice.fault));
        return;
      case "maintenance-failed":
        this.#reportMaintenance(notice.fault);
        return;
      case "overslept":
        for (const { buffer } of this.#held) this.#loseUnlessHeld(buffer);
    }
  }

  /** Finds out at once whether a run was taken over, rather than at its next event. */
  #loseUnlessHeld(buffer: RunBuffer): void {
    this.#confirm(buffer).then(
      (result) => {
        if (!result.ok) buffer.onLost(RunStoreError.from(result.fault));
      },
      (error: RunStoreError) => buffer.onLost(error),
    );
  }

  #confirm({ threadId, epoch }: RunKey): Promise<OpResult> {
    return this.#batcher.enqueue({ kind: "confirm", threadId, epoch });
  }

  /** It is done again and again: the same error is told once. */
  #reportMaintenance(fault: StoreFault): void {
    if (this.#toldMaintenance === fault.message) return;
    this.#toldMaintenance = fault.message;
    const err = RunStoreError.from(fault);
    const fields = { err, code: err.code, dbPath: this.#options.dbPath };
    this.#options.logger.error(fields, "a heartbeat or the search for dead processes failed");
  }

  #warnRecovered({ runs, fault }: OpenedMessage["recovered"]): void {
    const { logger, dbPath } = this.#options;
    if (runs > 0) logger.warn({ dbPath, recovered: runs }, "recovered runs of dead processes");
    if (fault === null) return;
    const err = RunStoreError.from(fault);
    logger.error({ err, code: err.code, dbPath }, "a run of a dead process cannot be ended");
  }

  #claimedRun(buffer: RunBuffer): ClaimedRun {
    const { threadId, runId, agentId, epoch } = buffer;
    const key = keyOf(buffer);
    return {
      epoch,
      setInput: (input: unknown) => {
        const { json, lost } = serializeValue(input);
        buffer.input = json;
        this.#warnLost(lost, runId, "the run's input");
      },
      append: (event: EventLike) => {
        const before = buffer.length;
        const lost = buffer.push(event);
        if (lost.length > 0) this.#warnLost(lost, runId, event.type);
        if (buffer.length > before) this.#batcher.linger(buffer, buffer.length - before);
      },
      finish: async (onStalled) => {
        this.#held.remove(buffer);
        if (buffer.failure !== null) {
          this.#batcher.take(buffer);
          void this.#giveUp(buffer);
          throw buffer.failure;
        }
        const { segments, compactIds, input, takenLength } = buffer;
        buffer.input = null;
        // Its compaction is not to hold up the other runs, or the heartbeats.
        const pieces = Math.floor(takenLength / PIECE_LENGTH);
        const unread = takenLength - pieces * PIECE_LENGTH;
        for (let piece = 0; piece < pieces; piece++) this.#readAhead(buffer);
        const tail = this.#batcher.take(buffer);
        const run = { threadId, runId, agentId, epoch, finishedAt: Date.now() };
        const op = {
          kind: "finish",
          ...run,
          segments,
          unread,
          ...tail,
          compactIds,
          input,
        } as const;
        await this.#complete(buffer, this.#batcher.enqueue(op, onStalled), onStalled);
      },
      release: async () => {
        this.#held.remove(buffer);
        const { segments } = buffer;
        const tail = this.#batcher.take(buffer);
        const op = { kind: "release", threadId, epoch, segments, ...tail } as const;
        // Until the store says otherwise.
        this.#unreleased.add(key);
        if ((await this.#batcher.enqueue(op)).ok) this.#unreleased.delete(key);
      },
    };
  }

  /**
   * Resolves when this process knows by its epoch what it has claimed: a reader may see a claim in
   * the file before the writer's answer is here.
   */
  async #answered(live: HoldingRun | null): Promise<void> {
    if (live === null || live.ownClaim === null) return;
    while (this.#unanswered.has(live.ownClaim)) {
      await new Promise<void>((resolve) => this.#claimWaiters.push(resolve));
    }
    // What was told to the caller of `claim` in this task has been dealt with in the next one.
    await nextTask();
  }

  /** Nobody would end the wait of one who follows a run that has ended. */
  #unlessEnded(threadId: string, live: HoldingRun | null): LiveRun | null {
    if (live === null) return null;
    const { runId, epoch, ownClaim } = live;
    if (ownClaim !== null && this.#withdrawn.has(ownClaim)) return null;
    const key = keyOf({ threadId, epoch });
    return this.#unsaved.has(key) || this.#unreleased.has(key) ? null : { runId, epoch };
  }

  async #complete(
    run: RunBuffer,
    stored: Promise<OpResult>,
    onStalled: (error: RunStoreError) => void,
  ): Promise<void> {
    const { runId } = run;
    let result: OpResult;
    try {
      result = await stored;
      if (result.ok) await this.#walSync?.sync(onStalled);
    } catch (cause) {
      const error = toRunStoreError(cause);
      this.#unsaved.set(keyOf(run), { runId, error });
      void this.#giveUp(run);
      throw error;
    }
    if (!result.ok) {
      const error = RunStoreError.from(result.fault);
      if (error.code === "LEASE_LOST") throw error;
      this.#unsaved.set(keyOf(run), { runId, error });
      void this.#giveUp(run);
      throw error;
    }
    const { warning } = result;
    if (warning !== undefined) this.#options.logger.warn({ runId }, warning);
    // An append that was on its way when the run ended may have failed alone. What could be stored is
    // stored, and the thread is free: but the run is not whole.
    const failure =
      run.failure ?? (warning === undefined ? null : new RunStoreError("STORE_FAILED", warning));
    if (failure !== null) {
      this.#unsaved.set(keyOf(run), { runId, error: failure });
      throw failure;
    }
    this.#unsaved.delete(keyOf(run));
  }

  /** If this fails, the run is read whole when it is stored. */
  #readAhead({ threadId, epoch }: RunKey): void {
    const op = { kind: "compact", threadId, epoch, length: PIECE_LENGTH } as const;
    this.#batcher.enqueue(op).catch((error: RunStoreError) => {
      this.#options.logger.debug({ err: error, threadId }, "a long run was not read ahead");
    });
  }

  /** Frees the thread of a claim that was refused here, in case it was committed all the same. */
  #withdraw(threadId: string, claim: number): void {
    this.#withdrawn.add(claim);
    this.#batcher.enqueue({ kind: "withdraw", threadId, number: claim }).then(
      () => this.#withdrawn.delete(claim),
      (error: RunStoreError) => this.#reportHeld(threadId, error),
    );
  }

  /** Frees the thread of a run that can never be stored. What its journal holds is kept if it can be. */
  async #giveUp({ threadId, epoch }: RunKey): Promise<void> {
    for (const keep of [true, false]) {
      try {
        const result = await this.#batcher.enqueue({ kind: "giveUp", threadId, epoch, keep });
        if (result.ok) return;
        if (!keep) this.#reportHeld(threadId, RunStoreError.from(result.fault));
      } catch (error) {
        if (!keep) this.#reportHeld(threadId, toRunStoreError(error));
      }
    }
  }

  /** The next process that opens the file, or the next run of the thread here, frees it. */
  #reportHeld(threadId: string, error: RunStoreError): void {
    if (this.#closed.signal.aborted || this.#fileLost !== null) return;
    // A file that was never opened holds no thread of ours. That it was not is reported already.
    if (!this.#opened) return;
    const fields = { err: error, code: error.code, threadId };
    this.#options.logger.error(fields, "a thread that nobody uses could not be freed");
  }

  async #read<V>(request: ReaderRequest): Promise<V> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.ready();
        return await this.#readers.request<V>(request);
      } catch (cause) {
        const error = toRunStoreError(cause);
        const died = error.code === "READER_DIED" || error.code === "WRITER_DIED";
        if (error.code === "FILE_REPLACED") this.#loseFile(error);
        const isWorthIt = died || error.code === "BUSY";
        if (!isWorthIt || attempt === READ_ATTEMPTS) {
          // A reader that has opened the file without its WAL finds less than was stored.
          await this.#checkFile();
          throw error;
        }
        if (!died) await delay(BUSY_READ_MS * attempt);
      }
    }
  }

  /** `run` says in the log whose events they are. */
  #parse(json: string, run: Readonly<Record<string, unknown>>): readonly EventLike[] {
    try {
      const events: unknown = JSON.parse(json);
      if (Array.isArray(events)) return events as readonly EventLike[];
    } catch (error) {
      this.#options.logger.error({ err: error, ...run }, "a stored run cannot be read");
      return [];
    }
    this.#options.logger.error({ ...run }, "a stored run holds no list of events");
    return [];
  }

  #warnLost(lost: readonly string[], runId: string, what: string): void {
    if (lost.length === 0) return;
    this.#options.logger.warn(
      { runId, lost },
      `parts of ${what} are no JSON, or too long, and are not stored`,
    );
  }

  #reportUnsaved(code: "PERSISTENCE_FAILED" | "CLOSE_INCOMPLETE"): void {
    if (this.#unsaved.size === 0) return;
    const [first] = this.#unsaved.values();
    throw new RunStoreError(
      code,
      `${this.#unsaved.size} run(s) could not be stored, ${JSON.stringify(first?.runId)} among them: ${first?.error.message}`,
      { cause: first?.error },
    );
  }

  async #withDeadline(work: Promise<unknown>, ms: number): Promise<void> {
    const deadline = new AbortController();
    try {
      await Promise.race([
        work,
        delay(ms, undefined, { signal: deadline.signal }).catch(() => undefined),
      ]);
    } finally {
      deadline.abort();
    }
  }
}
