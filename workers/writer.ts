import { realpathSync } from "node:fs";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { RunStoreError, type StoreFault } from "../src/protocol/errors.ts";
import type {
  BackupSize,
  BatchMessage,
  OpenedMessage,
  Reply,
  WorkerConfig,
  WriterNotice,
  WriterRequest,
} from "../src/protocol/messages.ts";
import type { AttachRequest, PortReply, PortRequest } from "../src/protocol/port-messages.ts";
import type { EraseResult, PurgeResult } from "../src/protocol/threads.ts";
import { BatchOrder } from "../src/runs/batch-order.ts";
import { concernsWholeFile, toFault } from "./sqlite/database/fault.ts";
import {
  abandon,
  type OpenedDatabase,
  openForWriting,
  shortenBusyTimeout,
} from "./sqlite/database/open.ts";
import { expectNode, type OpenFiles } from "./sqlite/database/open-files.ts";
import { WriterSync } from "./sqlite/database/writer-sync.ts";
import { InstanceLock, lockPathOf } from "./sqlite/instances/instance-lock.ts";
import { beat, hasOtherLiveInstances } from "./sqlite/instances/instances.ts";
import { backUp } from "./sqlite/maintenance/backup.ts";
import { Maintenance } from "./sqlite/maintenance/maintenance.ts";
import { reap } from "./sqlite/maintenance/reaper.ts";
import { ThreadIndexing } from "./sqlite/maintenance/thread-indexing.ts";
import { type ReaderReply, Reading } from "./sqlite/reads/reading.ts";
import { prepareReaderStatements } from "./sqlite/reads/statements.ts";
import { CheckpointRequests, Checkpoints } from "./sqlite/removal/checkpoints.ts";
import { Removals } from "./sqlite/removal/removals.ts";
import { Slices } from "./sqlite/removal/slices.ts";
import { commitBatch } from "./sqlite/runs/batch.ts";
import { createWriterContext, type WriterContext } from "./sqlite/runs/writer-context.ts";
import { KeptViews } from "./sqlite/views/keep-view.ts";

interface Writer extends OpenedDatabase {
  readonly context: WriterContext;
  readonly reading: Reading;
  readonly keptViews: KeptViews;
  /** Null for a database in memory. */
  readonly walSync: WriterSync | null;
  readonly opened: OpenedMessage;
  /** Null for a database in memory, which no other instance can open. */
  readonly maintenance: Maintenance | null;
  readonly removals: Removals;
  readonly indexing: ThreadIndexing;
  readonly order: BatchOrder;
}

type BatchRequest = Extract<WriterRequest, { kind: "batch" }>;

let writer: Writer | null = null;
/** Null for a database in memory, and before the file is open. */
let lock: InstanceLock | null = null;
/** Set when the file has lost its name. From then on every request gets this error as its answer. */
let lost: RunStoreError | null = null;

const checkpointRequests = new CheckpointRequests(notify);

function notify(notice: WriterNotice): void {
  if (notice.kind === "changed") writer?.indexing.afterOthers();
  parentPort?.postMessage(notice);
}

/**
 * Takes the lock in the successor of a dead writer, before it waits for the database. Without the lock,
 * the instance would look dead while another program keeps the file from being opened.
 */
function lockAgain({ dbPath, file, instanceId }: WorkerConfig): InstanceLock | null {
  if (file === null) return null;
  expectNode(dbPath, file);
  return new InstanceLock(lockPathOf(realpathSync(dbPath), instanceId), { make: true });
}

function unlock(): void {
  lock?.remove();
  lock = null;
}

function open(config: WorkerConfig): Writer {
  lock ??= lockAgain(config);
  const database = openForWriting(config);
  const { db, guard, files, migratedFrom } = database;
  try {
    const context = createWriterContext(db, config, files?.path ?? null);
    // Take the lock before the row is written: an instance with a row and a free lock counts as dead.
    if (files !== null) {
      lock ??= new InstanceLock(lockPathOf(files.path, config.instanceId), { make: true });
    }
    beat(context);
    // Journals are retained for followers. When this runner opens the file for the first time, it has no
    // followers yet: only another live instance may have some.
    const retain = config.file !== null || hasOtherLiveInstances(context);
    const recovered = reap(context, { retain });
    const statements = prepareReaderStatements(db);
    const reading = new Reading({ db, statements, config, liveness: context.liveness });
    const keptViews = new KeptViews(db);
    const hooks = { before: () => beforeSlice(db), after: afterSlice };
    const checkpoints = new Checkpoints(db, checkpointRequests);
    const slices = new Slices({ context, hooks, checkpoints });
    const removals = new Removals(context, slices, notify);
    const indexing = new ThreadIndexing({ context, slices, onError: reportMaintenance });
    const resume = () => {
      void removals.resume().catch(reportMaintenance);
      // Programs that are no instances may have changed runs.
      indexing.afterOthers();
    };
    const walSync = files === null ? null : new WriterSync(files.walPath);
    const maintenance =
      files === null
        ? null
        : new Maintenance({ context, notify, isFileThere: () => isFileThere(files), resume });
    resume();
    shortenBusyTimeout(db);
    const names = files === null ? null : { ...files };
    const opened = { recovered, migratedFrom, files: names };
    const order = new BatchOrder();
    const parts = {
      context,
      reading,
      keptViews,
      walSync,
      opened,
      maintenance,
      removals,
      indexing,
      order,
    };
    return { ...database, ...parts };
  } catch (error) {
    if (config.file === null) unlock();
    guard?.close();
    db.close();
    throw error;
  }
}

/**
 * Opens the file for a batch. The file was open before: what keeps the successor of a dead writer from opening it
 * is no fault of the batch, and may pass.
 */
function openForBatch(config: WorkerConfig): Writer {
  try {
    return open(config);
  } catch (error) {
    const fault = faultOf(error);
    const isKnown = fault.code === "FILE_REPLACED" || RunStoreError.from(fault).retryable;
    if (config.file === null || isKnown) throw error;
    throw new RunStoreError("NO_WRITER", `the writer could not open the file: ${fault.message}`);
  }
}

/** Throws when the file is closed or lost: long work that is under way ends. */
function beforeSlice(db: Writer["db"]): void {
  if (lost !== null) throw lost;
  if (writer !== null && writer.db !== db) throw closed();
  if (!db.open) throw closed();
  writer?.files?.checkIndex();
  writer?.maintenance?.beforeBatch();
}

function afterSlice(ms: number): void {
  writer?.maintenance?.afterBatch(ms);
  writer?.indexing.afterWrite();
  writer?.files?.check();
}

function closed(): RunStoreError {
  return new RunStoreError("RUNNER_CLOSED", "the runner was closed");
}

/** A removal that cannot be carried on with is tried again later. */
function reportMaintenance(error: unknown): void {
  if (error instanceof RunStoreError && error.code === "RUNNER_CLOSED") return;
  const fault = faultOf(error);
  if (lost === null && !concernsWholeFile(error)) notify({ kind: "maintenance-failed", fault });
}

/** Checks between requests that the file still has its name. */
function isFileThere(files: OpenFiles): boolean {
  try {
    files.check();
    return true;
  } catch (error) {
    loseFile(error);
    return lost === null;
  }
}

/**
 * Closes the file if `error` is `FILE_REPLACED`, and tells the main thread, whatever work has found it: without a
 * notice, readers would go on with the old file. Does nothing for other errors.
 */
function loseFile(error: unknown): void {
  if (!(error instanceof RunStoreError) || error.code !== "FILE_REPLACED") return;
  if (lost === null) notify({ kind: "replaced", fault: toFault(error) });
  lost = error;
  if (writer === null) return;
  const { maintenance, indexing, walSync } = writer;
  maintenance?.end();
  indexing.end();
  walSync?.close();
  abandon(writer);
  unlock();
  writer = null;
}

/** The fault for an error. A file that has lost its name fails in many ways: all are `FILE_REPLACED`. */
function faultOf(error: unknown): StoreFault {
  try {
    if (writer !== null && concernsWholeFile(error)) writer.files?.check();
  } catch (found) {
    loseFile(found);
  }
  loseFile(error);
  return toFault(lost ?? error);
}

function close(): null {
  if (writer === null) return null;
  const { context, maintenance, indexing, files, guard, walSync } = writer;
  files?.check();
  writer = null;
  maintenance?.end();
  indexing.end();
  walSync?.close();
  try {
    context.statements.deleteInstance.run(context.config.instanceId);
    context.db.pragma("wal_checkpoint(TRUNCATE)");
  } finally {
    guard?.close();
    context.db.close();
    unlock();
  }
  return null;
}

/** Commits a batch, unless the batch before it failed. */
function commitNext(writer: Writer, batch: BatchRequest): BatchMessage {
  // Before the heartbeat, which waits for a lock of another program: a refused batch must not wait again.
  writer.order.expectNext(batch);
  writer.maintenance?.beforeBatch();
  // Without the WAL's index, a commit could overwrite what another process has written to the WAL.
  writer.files?.checkIndex();
  const startedAt = performance.now();
  const results = commitBatch(writer.context, batch.ops);
  const ms = performance.now() - startedAt;
  writer.maintenance?.afterBatch(ms);
  writer.indexing.afterBatch(ms);
  const synced = batch.sync && writer.walSync !== null ? writer.walSync.sync() : null;
  // Throws if the file has lost its name: a commit to such a file is not acknowledged.
  const walBytes = writer.files?.check() ?? 0;
  writer.order.committed(batch);
  return { results, walBytes, synced };
}

type WriterReply =
  | OpenedMessage
  | BatchMessage
  | ReaderReply
  | BackupSize
  | PurgeResult
  | EraseResult
  | null;

function handle(request: WriterRequest): WriterReply | Promise<WriterReply> {
  if (request.kind === "checkpointed") {
    checkpointRequests.answer(request.isDone);
    return null;
  }
  if (lost !== null) throw lost;
  if (request.kind === "close") return close();
  writer ??= (request.kind === "batch" ? openForBatch : open)(workerData as WorkerConfig);
  switch (request.kind) {
    case "open":
      writer.files?.check();
      return writer.opened;
    case "batch":
      return commitNext(writer, request);
    case "rewrite-wal":
      writer.files?.check();
      writer.walSync?.rewrite(writer.db);
      return null;
    case "check":
      writer.files?.check();
      return null;
    case "probe":
      writer.files?.check();
      writer.maintenance?.probe();
      return null;
    case "backup":
      return backUp(writer.context.db, request, notify);
    case "keep-view":
      writer.keptViews.keep(request.view);
      return null;
    case "touch-threads":
      return writer.removals.writeTouches();
    case "delete-thread":
      return writer.removals.delete(request);
    case "fork-thread":
      return writer.removals.fork(request);
    case "import":
      return writer.removals.import(request.part);
    case "abandon-import":
      return writer.removals.abandonImport(request.threadId, request.importId);
    case "purge":
      return writer.removals.purge(request);
    case "erase":
      return writer.removals.erase(request);
    case "end-purge":
      writer.removals.endPurge(request.purgeId);
      return null;
    case "watch":
      writer.maintenance?.lookForOthers();
      return null;
    default:
      return writer.reading.answer(request);
  }
}

const failure = (error: unknown): Reply<never> => ({ ok: false, fault: faultOf(error) });

/** Serves one request. Faults are values: an error loses its class and code between threads. */
function serve(request: WriterRequest): Reply<WriterReply> | Promise<Reply<WriterReply>> {
  try {
    const value = handle(request);
    // Backups and long work on threads are answered later: other requests are served meanwhile.
    if (!(value instanceof Promise)) return { ok: true, value };
    return value.then((later) => ({ ok: true as const, value: later }), failure);
  } catch (error) {
    return failure(error);
  }
}

/** Serves the requests that come by `port`, in order. */
export default function attach({ port }: AttachRequest<MessagePort>): Reply<null> {
  const answer = (id: number, reply: Reply<WriterReply>) => {
    port.postMessage([id, reply] satisfies PortReply<WriterReply>);
  };
  port.on("message", ([id, request]: PortRequest<WriterRequest>) => {
    const reply = serve(request);
    if (reply instanceof Promise) void reply.then((later) => answer(id, later));
    else answer(id, reply);
  });
  return { ok: true, value: null };
}
