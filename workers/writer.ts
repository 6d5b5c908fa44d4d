import { workerData } from "node:worker_threads";
import type {
  BatchMessage,
  HistoryPageMessage,
  OpenedMessage,
  Reply,
  RunningMessage,
  WorkerConfig,
  WriterRequest,
} from "../src/protocol/messages.ts";
import { commitBatch } from "./sqlite/batch.ts";
import { toFault } from "./sqlite/fault.ts";
import { HistoryPages, runningRun } from "./sqlite/history.ts";
import { beat, forgetDeadInstances } from "./sqlite/instances.ts";
import { openForWriting } from "./sqlite/open.ts";
import { ownIdentity } from "./sqlite/process-identity.ts";
import { recoverDeadRuns } from "./sqlite/recover.ts";
import { prepareReaderStatements, prepareWriterStatements } from "./sqlite/statements.ts";
import type { WriterContext } from "./sqlite/writer-context.ts";

/** Heartbeats per lease, so that one or two that fail do not end it. */
const BEATS_PER_LEASE = 3;

interface Writer {
  readonly context: WriterContext;
  readonly pages: HistoryPages;
  readonly readers: ReturnType<typeof prepareReaderStatements>;
  readonly opened: OpenedMessage;
  readonly heartbeat: NodeJS.Timeout | null;
}

let writer: Writer | null = null;

function open(config: WorkerConfig): Writer {
  const { db, migratedFrom } = openForWriting(config);
  try {
    const statements = prepareWriterStatements(db);
    const identity = ownIdentity();
    const context: WriterContext = { db, statements, config, identity };
    const sign = () => beat(statements, config.instanceId, identity, config.leaseMs);
    sign();
    const recovered = recoverDeadRuns(context);
    forgetDeadInstances(statements, identity);
    const readers = prepareReaderStatements(db);
    const heartbeat =
      config.dbPath === ":memory:"
        ? null
        : setInterval(() => beatOrWait(sign), config.leaseMs / BEATS_PER_LEASE);
    return {
      context,
      readers,
      pages: new HistoryPages(readers),
      opened: { recovered, migratedFrom },
      heartbeat,
    };
  } catch (error) {
    db.close();
    throw error;
  }
}

function beatOrWait(sign: () => void): void {
  try {
    sign();
  } catch (error) {
    // A full or locked disk: the next beat may get through, and the batches report the fault.
    if (toFault(error).code === "STORE_FAILED") throw error;
  }
}

function close(): null {
  if (writer === null) return null;
  const { context, heartbeat } = writer;
  writer = null;
  if (heartbeat !== null) clearInterval(heartbeat);
  try {
    context.statements.deleteInstance.run(context.config.instanceId);
    context.db.pragma("wal_checkpoint(TRUNCATE)");
  } finally {
    context.db.close();
  }
  return null;
}

type WriterReply = OpenedMessage | BatchMessage | HistoryPageMessage | RunningMessage | null;

function handle(request: WriterRequest): WriterReply {
  if (request.kind === "close") return close();
  writer ??= open(workerData as WorkerConfig);
  switch (request.kind) {
    case "open":
      return writer.opened;
    case "batch":
      return commitBatch(writer.context, request.ops);
    case "page":
      return writer.pages.read(request.page);
    case "running":
      return runningRun(writer.readers, writer.context.identity, request.threadId);
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
