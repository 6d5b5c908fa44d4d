import { parentPort, workerData } from "node:worker_threads";
import type { StoreFault } from "../src/protocol/errors.ts";
import type {
  BackupSize,
  Batch,
  BatchMessage,
  HistoryPageMessage,
  LookMessage,
  OpenedMessage,
  Reply,
  RunningMessage,
  WorkerConfig,
  WriterNotice,
  WriterRequest,
} from "../src/protocol/messages.ts";
import { concernsWholeFile, Fault, toFault } from "./sqlite/database/fault.ts";
import { abandon, type OpenedDatabase, openForWriting } from "./sqlite/database/open.ts";
import type { OpenFiles } from "./sqlite/database/open-files.ts";
import { rewriteWal } from "./sqlite/database/rewrite-wal.ts";
import { InstanceLock, lockPathOf } from "./sqlite/instances/instance-lock.ts";
import { beat, hasOtherLiveInstances } from "./sqlite/instances/instances.ts";
import { backUp } from "./sqlite/maintenance/backup.ts";
import { Maintenance } from "./sqlite/maintenance/maintenance.ts";
import { reap } from "./sqlite/maintenance/reaper.ts";
import { Reading } from "./sqlite/reads/reading.ts";
import { prepareReaderStatements } from "./sqlite/reads/statements.ts";
import { commitBatch } from "./sqlite/runs/batch.ts";
import { createWriterContext, type WriterContext } from "./sqlite/runs/writer-context.ts";

interface Writer extends OpenedDatabase {
  readonly context: WriterContext;
  readonly reading: Reading;
  readonly opened: OpenedMessage;
  /** Null for a database in memory, which nobody else can open. */
  readonly maintenance: Maintenance | null;
  /** Null for a database in memory. */
  readonly lock: InstanceLock | null;
  /** The last one that was committed. */
  batchNumber: number | null;
}

let writer: Writer | null = null;
/** Why this thread serves nothing any more: its file has lost its name. */
let lost: Fault | null = null;

const tell = (notice: WriterNotice) => parentPort?.postMessage(notice);

function open(config: WorkerConfig): Writer {
  const database = openForWriting(config);
  const { db, guard, files, migratedFrom } = database;
  let lock: InstanceLock | null = null;
  try {
    const context = createWriterContext(db, config, files?.path ?? null);
    // Held before anyone can find this instance's row.
    if (files !== null) {
      lock = new InstanceLock(lockPathOf(files.path, config.instanceId), { make: true });
    }
    beat(context);
    // When the file is first opened here, nobody follows a run in this process yet.
    const retain = config.file !== null || hasOtherLiveInstances(context);
    const recovered = reap(context, { retain });
    const statements = prepareReaderStatements(db);
    const reading = new Reading({ db, statements, config, liveness: context.liveness });
    const maintenance =
      files === null ? null : new Maintenance(context, tell, () => isFileThere(files));
    const names = files === null ? null : { ...files };
    const opened = { recovered, migratedFrom, files: names };
    return { ...database, context, reading, opened, maintenance, lock, batchNumber: null };
  } catch (error) {
    lock?.remove();
    guard?.close();
    db.close();
    throw error;
  }
}

/** Looks at the file between requests. Tells the main thread when it has lost its name. */
function isFileThere(files: OpenFiles): boolean {
  try {
    files.check();
    return true;
  } catch (error) {
    loseFile(error);
    if (lost === null) return true;
    tell({ kind: "replaced", fault: toFault(lost) });
    return false;
  }
}

/** Lets go of the file if `error` says that it has lost its name. */
function loseFile(error: unknown): void {
  if (!(error instanceof Fault) || error.code !== "FILE_REPLACED") return;
  lost = error;
  if (writer === null) return;
  const { maintenance, lock } = writer;
  maintenance?.end();
  abandon(writer);
  lock?.remove();
  writer = null;
}

/** A file that has lost its name fails in many ways: what counts is that it has. */
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
  const { context, maintenance, files, guard, lock } = writer;
  files?.check();
  writer = null;
  maintenance?.end();
  try {
    context.statements.deleteInstance.run(context.config.instanceId);
    context.db.pragma("wal_checkpoint(TRUNCATE)");
  } finally {
    guard?.close();
    context.db.close();
    lock?.remove();
  }
  return null;
}

/** Operations are in order: what was sent behind a batch that failed must not come before it. */
function commitNext(writer: Writer, { ops, number, follows }: Batch): BatchMessage {
  if (follows !== null && follows !== writer.batchNumber) {
    throw new Fault("STORE_FAILED", "the batch before this one was not committed");
  }
  // Without the WAL's index, a commit could write over what another process has in the WAL.
  writer.files?.checkIndex();
  const results = commitBatch(writer.context, ops);
  // What was committed to a file without a name is not acknowledged.
  const walBytes = writer.files?.check() ?? 0;
  writer.batchNumber = number;
  return { results, walBytes };
}

type WriterReply =
  | OpenedMessage
  | BatchMessage
  | HistoryPageMessage
  | RunningMessage
  | LookMessage
  | BackupSize
  | null;

function handle(request: WriterRequest): WriterReply | Promise<BackupSize> {
  if (lost !== null) throw lost;
  if (request.kind === "close") return close();
  writer ??= open(workerData as WorkerConfig);
  switch (request.kind) {
    case "open":
      writer.files?.check();
      return writer.opened;
    case "batch":
      writer.maintenance?.beforeBatch();
      return commitNext(writer, request);
    case "rewrite-wal":
      if (writer.files === null) return null;
      writer.files.check();
      rewriteWal(writer.db, writer.files.walPath);
      return null;
    case "check":
      writer.files?.check();
      return null;
    case "backup":
      return backUp(writer.context.db, request, tell);
    case "watch":
      writer.maintenance?.lookForOthers();
      return null;
    default:
      return writer.reading.answer(request);
  }
}

const failure = (error: unknown): Reply<never> => ({ ok: false, fault: faultOf(error) });

/** Serves one request. Faults are values: an error would lose its class and code on the way. */
export default function serve(
  request: WriterRequest,
): Reply<WriterReply> | Promise<Reply<WriterReply>> {
  try {
    const value = handle(request);
    // All but a backup are answered in the turn in which they come.
    if (!(value instanceof Promise)) return { ok: true, value };
    return value.then((size) => ({ ok: true as const, value: size }), failure);
  } catch (error) {
    return failure(error);
  }
}
