import { setTimeout as delay } from "node:timers/promises";
import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import type {
  Batch,
  BatchMessage,
  DeleteThreadRequest,
  HistoryPageMessage,
  KeepViewRequest,
  LookMessage,
  LookRequest,
  OpenedFiles,
  OpenedMessage,
  PageRequest,
  PurgeThreadsRequest,
  ReaderRequest,
  RunInputMessage,
  RunInputRequest,
  RunningMessage,
  RunningRequest,
  ViewMessage,
  ViewRequest,
  WorkerConfig,
  WriterNotice,
  WriterRequest,
} from "../../protocol/messages.ts";
import type { ImportPart, MovedPageMessage } from "../../protocol/moved-threads.ts";
import type { PurgeResult } from "../../protocol/threads.ts";
import { withDeadline } from "../../protocol/with-deadline.ts";
import { recoveryChannel } from "../../telemetry/channels.ts";
import type {
  Backend,
  BackendNotice,
  BackendStatus,
  PurgeWatch,
  ThreadReads,
  ThreadWrites,
} from "../queued/backend.ts";
import type { BackupOptions, BackupResult } from "../run-store.ts";
import type { ThreadTransfer } from "../thread-transfer.ts";
import { WorkerPool } from "../worker-threads/worker-pool.ts";
import { startBackupThread, writerAsBackup } from "./backup-thread.ts";
import { Backups } from "./backups.ts";
import { Checkpointer } from "./checkpointer.ts";
import { oneByOne } from "./one-by-one.ts";
import { enterFile, leaveFile } from "./open-files.ts";
import { SqliteWriter } from "./sqlite-writer.ts";
import { WalSize } from "./wal-size.ts";
import { WalSync } from "./wal-sync.ts";
import { isSyncedByWriter } from "./writer-syncs.ts";

export interface SqliteBackendOptions extends Omit<WorkerConfig, "file"> {
  /** Reader threads. */
  readonly readers: number;
  /** Whether a completed run is synced to the disk. */
  readonly durability: "full" | "normal";
  readonly logger: Logger;
}

/** How often a read is tried when its thread dies or the database is busy. */
const READ_ATTEMPTS = 5;
/**
 * Milliseconds before the second try of a busy read; the wait grows with each try. While another process
 * opens or recovers a file, SQLite may return busy without waiting.
 */
const BUSY_READ_MS = 50;

/** A list waits so many milliseconds at most for its order: another program may hold the file's lock for longer. */
const MAX_TOUCH_MS = 500;

/** A SQLite file, or a database in memory: one writer thread, and some reader threads. */
export class SqliteBackend implements Backend {
  readonly compactsInFlight = true;
  /** Null for a database in memory, and for `durability: "normal"`. */
  readonly durability: WalSync | null;
  readonly threads: ThreadReads = {
    list: async (request) => {
      if (request.after === null) await this.#touchThreads();
      return this.#read({ kind: "threads", ...request });
    },
    get: (request) => this.#read({ kind: "thread", ...request }),
    runs: (request) => this.#read({ kind: "runs", ...request }),
    holders: (request) => this.#read({ kind: "holders", ...request }),
  };
  readonly threadWrites: ThreadWrites = {
    deleteThread: (request) => this.#oneByOne(() => this.#deleteThread(request)),
    forkThread: (request) =>
      this.#oneByOne(() => this.#change({ kind: "fork-thread", ...request })),
    erase: (request) => this.#oneByOne(() => this.#change({ kind: "erase", ...request })),
    purge: (request, watch) => this.#oneByOnePurge(() => this.#purge(request, watch)),
  };
  readonly transfer: ThreadTransfer = {
    read: async (threadId, cursor, scope) => {
      const request = { kind: "moved", threadId, cursor, scope } as const;
      return (await this.#read<MovedPageMessage>(request)).page;
    },
    write: (part) => this.#oneByOne(() => this.#import(part)),
    abandon: (threadId, importId) =>
      this.#oneByOne(() => this.#writer.request({ kind: "abandon-import", threadId, importId })),
    flush: async () => this.durability?.sync(() => undefined),
  };
  /** The writer does one piece of long work at a time, in the order in which it was asked for. */
  readonly #oneByOne = oneByOne();
  readonly #oneByOnePurge = oneByOne();
  /** Requests of `#change` under way. */
  #longWork = 0;
  /** By `PurgeThreadsRequest.purgeId`. */
  readonly #purges = new Map<string, PurgeWatch["onProgress"]>();
  readonly #options: SqliteBackendOptions;
  /** The configuration of the threads that start from now on. */
  #config: WorkerConfig;
  readonly #writer: SqliteWriter;
  /** Null for a database in memory: only the writer's connection can read it. */
  readonly #readers: WorkerPool<ReaderRequest> | null;
  readonly #backups: Backups;
  readonly #walSize: WalSize;
  readonly #checkpointer: Checkpointer;
  #notify: (notice: BackendNotice) => void = () => {};
  #opening: Promise<void> | null = null;
  #used = false;
  #opened = false;
  /** The message of the maintenance error that was logged last. */
  #lastMaintenanceError = "";
  /** The path of the WAL while this backend has it open. Null for a database in memory. */
  #wal: string | null = null;
  /** Why nothing more is stored, or null: the file was deleted, moved or replaced. */
  #lost: RunStoreError | null = null;
  /** Aborted when the backend is closed or the file is lost: a new writer must not open the file. */
  readonly #ended = new AbortController();
  #closed = false;
  #backupsEnded: Promise<void> | null = null;

  constructor(options: SqliteBackendOptions) {
    this.#options = options;
    const { dbPath, instanceId, leaseMs, interruptedNote, durability, logger } = options;
    const { offersInterrupted } = options;
    const ids = { dbPath, instanceId, leaseMs, file: null };
    const config: WorkerConfig = { ...ids, interruptedNote, offersInterrupted };
    this.#config = config;
    const isMemory = dbPath === ":memory:";
    this.#writer = new SqliteWriter({
      config,
      logger,
      onNotice: (notice) => this.#handle(notice),
      onOpened: (opened) => {
        this.#config = opened;
        this.#readers?.configure(opened);
      },
      onReplaced: (error) => this.#lose(error),
      // A writer may have opened the file although `open` has failed: it died before all was prepared.
      isWanted: () => this.#opening !== null || this.#config.file !== null,
      signal: this.#ended.signal,
    });
    this.#readers = isMemory
      ? null
      : new WorkerPool({
          worker: "reader",
          threads: options.readers,
          config,
          diedCode: "READER_DIED",
        });
    this.durability =
      isMemory || durability === "normal"
        ? null
        : new WalSync({
            wal: () => this.#openWal(),
            rewrite: () => this.#writer.request({ kind: "rewrite-wal" }),
            onTrouble: (error, message) => logger.error({ err: error, code: error.code }, message),
          });
    this.#backups = new Backups({
      startThread: () =>
        isMemory
          ? writerAsBackup((request) => this.#writer.request(request))
          : startBackupThread(this.#config, (notice) => this.#handle(notice)),
      logger,
    });
    this.#walSize = new WalSize(dbPath, logger);
    const { durability: walSync } = this;
    this.#checkpointer = new Checkpointer({
      config: () => this.#config,
      durability: walSync,
      logger,
    });
  }

  onNotice(listener: (notice: BackendNotice) => void): void {
    this.#notify = listener;
  }

  open(): Promise<void> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    const isFirst = !this.#used;
    this.#used = true;
    this.#opening ??= this.#open().catch((error: RunStoreError) => {
      if (isFirst && !this.#closed) this.#logError(error, "cannot open the database");
      // The next call tries again: the disk may have room then.
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  async commit(batch: Batch): Promise<BatchMessage> {
    // The failure is ignored here: callers of `open` get it, and the writer opens the file for the batch.
    if (!this.#used) this.open().catch(() => undefined);
    // Long work fills the WAL: a sync takes long then, and the writer would keep other batches waiting.
    const maySync = this.#longWork === 0 && this.durability?.leavesSyncToWriter === true;
    const sync = maySync && isSyncedByWriter(batch);
    const sentAt = performance.now();
    try {
      const message = await this.#writer.commit(batch, { sync });
      this.#walSize.note(message.walBytes);
      this.durability?.noteCommit(message.synced, performance.now() - sentAt);
      return message;
    } catch (cause) {
      const error = toRunStoreError(cause);
      // The writer may have died after its sync failed.
      if (sync && error.code === "WRITER_DIED") this.durability?.distrust();
      throw error;
    }
  }

  readPage(page: PageRequest): Promise<HistoryPageMessage> {
    return this.#read({ kind: "page", page });
  }

  readView(view: ViewRequest): Promise<ViewMessage> {
    return this.#read({ kind: "view", view });
  }

  async keepView(view: KeepViewRequest): Promise<void> {
    await this.#writer.request({ kind: "keep-view", view });
  }

  readRunInput(run: RunInputRequest): Promise<RunInputMessage> {
    return this.#read({ kind: "run-input", run });
  }

  running(request: RunningRequest): Promise<RunningMessage> {
    return this.#read({ kind: "running", ...request });
  }

  look(look: LookRequest): Promise<LookMessage> {
    return this.#read({ kind: "look", look });
  }

  /** Without this request, the writer looks for other instances only from time to time. */
  watch(): void {
    this.#writer.request({ kind: "watch" }).catch((error: RunStoreError) => {
      this.#options.logger.debug({ err: error }, "the writer did not get a watch request");
    });
  }

  /** Rejects with `FILE_REPLACED` alone: the next batch reports any other error of the writer. */
  async check(): Promise<void> {
    // A backend that was never used has no file to lose.
    if (this.#opening === null) return;
    await this.#writer.request({ kind: "check" }).catch((error: RunStoreError) => {
      if (error.code === "FILE_REPLACED") throw error;
    });
  }

  async probe(): Promise<void> {
    await this.open();
    await this.#writer.request({ kind: "probe" });
  }

  async backup(path: string, options: BackupOptions): Promise<BackupResult> {
    await this.open();
    return this.#backups.make(path, options);
  }

  endBackups(): void {
    this.#backupsEnded ??= this.#backups.end();
  }

  async close(error: RunStoreError, stepMs: () => number): Promise<void> {
    this.endBackups();
    this.#closed = true;
    this.#ended.abort();
    // The file stays open if the disk hangs: the deadline ends the wait, not the sync.
    await withDeadline(this.durability?.end(error) ?? Promise.resolve(), stepMs());
    try {
      // The writer must close last: only the last connection of a database removes the WAL file.
      await this.#readers?.destroy();
      await withDeadline(this.#checkpointer.end(), stepMs());
      // After the deadline, the WAL holds the commits: the next process that opens the file finds them.
      if (this.#used) await withDeadline(this.#writer.close(), stepMs());
    } catch (cause) {
      const failure = toRunStoreError(cause);
      if (failure.code !== "FILE_REPLACED") {
        const fields = { err: failure, code: failure.code };
        this.#options.logger.error(fields, "closing the database failed");
      }
    } finally {
      await this.#writer.destroy();
      await this.#backupsEnded;
      if (this.#wal !== null) leaveFile(this.#wal);
      this.#wal = null;
    }
  }

  status(): BackendStatus {
    const lastError = this.#lost ?? this.durability?.lastError ?? null;
    return { opened: this.#opened, walBytes: this.#walSize.bytes, lastError };
  }

  async #open(): Promise<void> {
    const { recovered, migratedFrom, files } = await this.#writer.open();
    this.#opened = true;
    if (files !== null) {
      if (this.#wal === null && !this.#closed) {
        this.#wal = files.walPath;
        enterFile(this.#wal, this.#options.dbPath, this.#options.logger);
      }
      await this.durability?.prepare(files);
    }
    const { logger, dbPath } = this.#options;
    if (migratedFrom === 1) logger.info({ dbPath }, "migrated a version 1 database in place");
    this.#tellRecovered(recovered);
    // Start the first reader thread now, before a client waits for its history.
    this.running({ threadId: "", scope: "every" }).catch((error: RunStoreError) => {
      logger.debug({ err: error }, "the first reader thread did not start");
    });
  }

  async #openWal(): Promise<OpenedFiles> {
    const { files } = await this.#writer.open();
    if (files === null) throw new RunStoreError("STORE_FAILED", "a database in memory has no WAL");
    return files;
  }

  /** Otherwise threads could change their places in a list between two of its pages. */
  async #touchThreads(): Promise<void> {
    await this.open();
    const touching = this.#writer.request({ kind: "touch-threads" }).catch((err: RunStoreError) => {
      this.#options.logger.debug({ err }, "a list may be in an older order");
    });
    await withDeadline(touching, MAX_TOUCH_MS);
  }

  async #read<V>(request: ReaderRequest): Promise<V> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.open();
        return await (this.#readers ?? this.#writer).request<V>(request);
      } catch (cause) {
        const error = toRunStoreError(cause);
        const died = error.code === "READER_DIED" || error.code === "WRITER_DIED";
        if (error.code === "FILE_REPLACED") this.#lose(error);
        const mayPass = died || error.code === "BUSY";
        if (!mayPass || attempt === READ_ATTEMPTS) {
          // A reader fails when the WAL is gone: report the lost file rather than the failed read.
          await this.check();
          throw error;
        }
        if (!died) await delay(BUSY_READ_MS * attempt);
      }
    }
  }

  /** Long work of the writer. */
  async #change<V>(request: WriterRequest): Promise<V> {
    await this.open();
    this.#longWork++;
    let value: V;
    try {
      value = await this.#writer.request<V>(request);
    } catch (cause) {
      // `close` ends the writer in the middle of long work.
      throw this.#closed ? closedError(cause) : cause;
    } finally {
      this.#longWork--;
    }
    // The writer has committed outside its batches, and has not synced that.
    this.durability?.noteCommit(null, 0);
    await this.durability?.sync(() => undefined);
    return value;
  }

  /** Without a sync: many threads are synced together. */
  async #import(part: ImportPart): Promise<void> {
    await this.open();
    await this.#writer.request({ kind: "import", part }).catch((cause: unknown) => {
      throw this.#closed ? closedError(cause) : cause;
    });
    this.durability?.noteCommit(null, 0);
  }

  async #purge(request: PurgeThreadsRequest, watch: PurgeWatch): Promise<PurgeResult> {
    const { purgeId } = request;
    if (watch.signal?.aborted === true) return { threads: 0, runs: 0, bytes: 0 };
    this.#purges.set(purgeId, watch.onProgress);
    const end = () => {
      this.#writer.request({ kind: "end-purge", purgeId }).catch(() => undefined);
    };
    watch.signal?.addEventListener("abort", end, { once: true });
    try {
      return await this.#change<PurgeResult>({ kind: "purge", ...request });
    } finally {
      watch.signal?.removeEventListener("abort", end);
      this.#purges.delete(purgeId);
    }
  }

  /** For long work of the writer, which waits for the answer. */
  async #checkpoint(): Promise<void> {
    const isDone = await this.#checkpointer.checkpoint();
    if (this.#closed) return;
    // A writer that has died meanwhile waits for no answer.
    await this.#writer.request({ kind: "checkpointed", isDone }).catch(() => undefined);
  }

  /** A removal is sent again when its writer dies: it carries on. */
  async #deleteThread(request: DeleteThreadRequest): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#change({ kind: "delete-thread", ...request });
        return;
      } catch (error) {
        const { code } = toRunStoreError(error);
        // The writer may have died between the removal and its answer.
        if (code === "THREAD_NOT_FOUND" && attempt > 1) return;
        if (code !== "WRITER_DIED" || this.#closed || attempt === READ_ATTEMPTS) throw error;
      }
    }
  }

  #handle(notice: WriterNotice): void {
    switch (notice.kind) {
      case "backup":
        this.#backups.reportProgress(notice);
        return;
      case "purge":
        this.#purges.get(notice.purgeId)?.(notice.done);
        return;
      case "checkpoint":
        void this.#checkpoint();
        return;
      case "recovered":
        this.#tellRecovered(notice);
        return;
      case "replaced":
        this.#lose(RunStoreError.from(notice.fault));
        return;
      case "maintenance-failed":
        this.#reportMaintenance(RunStoreError.from(notice.fault));
        return;
      case "changed":
      case "interrupted":
      case "stop":
      case "overslept":
        this.#notify(notice);
    }
  }

  /** Ends all storing: the open file is no longer the file that its path names. */
  #lose(error: RunStoreError): void {
    if (this.#lost !== null) return;
    this.#lost = error;
    this.#ended.abort();
    void this.#checkpointer.end();
    this.#logError(error, "the database file is lost");
    this.#notify({ kind: "lost", error });
  }

  /** Maintenance runs at short intervals: an error that repeats is logged once. */
  #reportMaintenance(error: RunStoreError): void {
    if (this.#lastMaintenanceError === error.message) return;
    this.#lastMaintenanceError = error.message;
    this.#logError(error, "a heartbeat or the search for dead processes failed");
  }

  #tellRecovered({ runs, fault }: OpenedMessage["recovered"]): void {
    const { logger, dbPath, instanceId } = this.#options;
    const error = fault === null ? null : RunStoreError.from(fault);
    if (recoveryChannel.hasSubscribers && (runs > 0 || error !== null)) {
      recoveryChannel.publish({ instanceId, runs, error });
    }
    if (runs > 0) logger.warn({ dbPath, recovered: runs }, "recovered runs of dead processes");
    if (error !== null) this.#logError(error, "a run of a dead process cannot be ended");
  }

  #logError(error: RunStoreError, message: string): void {
    const { logger, dbPath } = this.#options;
    logger.error({ err: error, code: error.code, dbPath }, message);
  }
}

function closedError(cause: unknown): RunStoreError {
  const error = toRunStoreError(cause);
  if (error.code !== "WRITER_DIED") return error;
  return new RunStoreError("RUNNER_CLOSED", "the runner was closed", { cause });
}
