import { workerData } from "node:worker_threads";
import type {
  HistoryPageMessage,
  ReaderRequest,
  Reply,
  RunningMessage,
  WorkerConfig,
} from "../src/protocol/messages.ts";
import { toFault } from "./sqlite/fault.ts";
import { HistoryPages, runningRun } from "./sqlite/history.ts";
import { openForReading } from "./sqlite/open.ts";
import { ownIdentity } from "./sqlite/process-identity.ts";
import { prepareReaderStatements } from "./sqlite/statements.ts";

interface Reader {
  readonly statements: ReturnType<typeof prepareReaderStatements>;
  readonly pages: HistoryPages;
  readonly identity: ReturnType<typeof ownIdentity>;
}

let reader: Reader | null = null;

function open(): Reader {
  const statements = prepareReaderStatements(openForReading(workerData as WorkerConfig));
  return { statements, pages: new HistoryPages(statements), identity: ownIdentity() };
}

/** Serves one request on a connection that cannot write. */
export default function serve(request: ReaderRequest): Reply<HistoryPageMessage | RunningMessage> {
  try {
    reader ??= open();
    const value =
      request.kind === "page"
        ? reader.pages.read(request.page)
        : runningRun(reader.statements, reader.identity, request.threadId);
    return { ok: true, value };
  } catch (error) {
    return { ok: false, fault: toFault(error) };
  }
}
