import { parentPort, workerData } from "node:worker_threads";
import type {
  Batch,
  BatchMessage,
  HistoryPageMessage,
  LookMessage,
  OpenedMessage,
  Reply,
  RunningMessage,
  WorkerConfig,
  WriterRequest,
} from "../src/protocol/messages.ts";
import { commitBatch } from "./sqlite/batch.ts";
import { Fault, toFault } from "./sqlite/fault.ts";
import { beat, forgetDeadInstances, hasLiveNeighbours } from "./sqlite/instances.ts";
import { Neighbours } from "./sqlite/neighbours.ts";
import { checkpoint, fileOf, openForWriting } from "./sqlite/open.ts";
import { Reading } from "./sqlite/reading.ts";
import { recoverDeadRuns } from "./sqlite/recover.ts";
import { prepareReaderStatements } from "./sqlite/statements.ts";
import { createWriterContext, type WriterContext } from "./sqlite/writer-context.ts";

interface Writer {
  readonly context: WriterContext;
  readonly reading: Reading;
  readonly opened: OpenedMessage;
  /** Null for a database in memory, which nobody else can open. */
  readonly neighbours: Neighbours | null;
  /** The last one that was committed. */
  batchNumber: number | null;
}

let writer: Writer | null = null;

function open(config: WorkerConfig): Writer {
  const { db, migratedFrom } = openForWriting(config);
  try {
    const context = createWriterContext(db, config);
    beat(context);
    // Nobody follows a run here yet.
    const recovered = recoverDeadRuns(context, { keep: hasLiveNeighbours(context) });
    forgetDeadInstances(context);
    const statements = prepareReaderStatements(db);
    const reading = new Reading({ db, statements, config, identity: context.identity });
    const neighbours =
      config.dbPath === ":memory:"
        ? null
        : new Neighbours(context, (notice) => parentPort?.postMessage(notice));
    const opened = { recovered, migratedFrom, file: fileOf(db) };
    return { context, reading, opened, neighbours, batchNumber: null };
  } catch (error) {
    db.close();
    throw error;
  }
}

function close(): null {
  if (writer === null) return null;
  const { context, neighbours } = writer;
  writer = null;
  neighbours?.end();
  try {
    context.statements.deleteInstance.run(context.config.instanceId);
    context.db.pragma("wal_checkpoint(TRUNCATE)");
  } finally {
    context.db.close();
  }
  return null;
}

/** Operations are in order: what was sent behind a batch that failed must not come before it. */
function commitNext(writer: Writer, { ops, number, follows }: Batch): BatchMessage {
  if (follows !== null && follows !== writer.batchNumber) {
    throw new Fault("STORE_FAILED", "the batch before this one was not committed");
  }
  const message = commitBatch(writer.context, ops);
  writer.batchNumber = number;
  return message;
}

type WriterReply =
  | OpenedMessage
  | BatchMessage
  | HistoryPageMessage
  | RunningMessage
  | LookMessage
  | null;

function handle(request: WriterRequest): WriterReply {
  if (request.kind === "close") return close();
  writer ??= open(workerData as WorkerConfig);
  switch (request.kind) {
    case "open":
      return writer.opened;
    case "batch":
      writer.neighbours?.notice();
      return commitNext(writer, request);
    case "checkpoint":
      checkpoint(writer.context.db);
      return null;
    case "watch":
      writer.neighbours?.meet();
      return null;
    default:
      return writer.reading.answer(request);
  }
}

/** Serves one request. Faults are values: an error would lose its class and code on the way. */
export default function serve(request: WriterRequest): Reply<WriterReply> {
  try {
    return { ok: true, value: handle(request) };
  } catch (error) {
    return { ok: false, fault: toFault(error) };
  }
}
