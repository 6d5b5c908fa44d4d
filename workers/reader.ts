import { workerData } from "node:worker_threads";
import type { ReaderRequest, Reply, WorkerConfig } from "../src/protocol/messages.ts";
import { toFault } from "./sqlite/database/fault.ts";
import { fileOf, openForReading } from "./sqlite/database/open.ts";
import { InstanceLock, lockPathOf } from "./sqlite/instances/instance-lock.ts";
import { Liveness } from "./sqlite/instances/liveness.ts";
import { ownIdentity } from "./sqlite/instances/process-identity.ts";
import { type ReaderReply, Reading } from "./sqlite/reads/reading.ts";
import { prepareReaderStatements } from "./sqlite/reads/statements.ts";

interface Reader {
  readonly reading: Reading;
  /** Held until the thread ends: the instance counts as alive while a reader lives. */
  readonly lock: InstanceLock;
}

let reader: Reader | null = null;

function open(): Reader {
  const config = workerData as WorkerConfig;
  const { instanceId } = config;
  const db = openForReading(config);
  const file = fileOf(db);
  const lock = new InstanceLock(lockPathOf(file, instanceId), { make: false });
  const statements = prepareReaderStatements(db);
  const liveness = new Liveness({ statements, instanceId, identity: ownIdentity(), file });
  return { reading: new Reading({ db, statements, config, liveness }), lock };
}

/** Serves one request on a read-only connection. */
export default function serve(request: ReaderRequest): Reply<ReaderReply> {
  try {
    reader ??= open();
    return { ok: true, value: reader.reading.answer(request) };
  } catch (error) {
    return { ok: false, fault: toFault(error) };
  }
}
