import { workerData } from "node:worker_threads";
import type {
  HistoryPageMessage,
  LookMessage,
  ReaderRequest,
  Reply,
  RunningMessage,
  WorkerConfig,
} from "../src/protocol/messages.ts";
import { toFault } from "./sqlite/fault.ts";
import { openForReading } from "./sqlite/open.ts";
import { ownIdentity } from "./sqlite/process-identity.ts";
import { Reading } from "./sqlite/reading.ts";
import { prepareReaderStatements } from "./sqlite/statements.ts";

let reading: Reading | null = null;

function open(): Reading {
  const config = workerData as WorkerConfig;
  const db = openForReading(config);
  const statements = prepareReaderStatements(db);
  return new Reading({ db, statements, config, identity: ownIdentity() });
}

/** Serves one request on a connection that cannot write. */
export default function serve(
  request: ReaderRequest,
): Reply<HistoryPageMessage | RunningMessage | LookMessage> {
  try {
    reading ??= open();
    return { ok: true, value: reading.answer(request) };
  } catch (error) {
    return { ok: false, fault: toFault(error) };
  }
}
