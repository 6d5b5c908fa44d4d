import { workerData } from "node:worker_threads";
import type { CheckpointerRequest, Reply, WorkerConfig } from "../src/protocol/messages.ts";
import { toFault } from "./sqlite/database/fault.ts";
import { abandon, type OpenedForCheckpoints, openForCheckpoints } from "./sqlite/database/open.ts";

/** Null before the first request and after a failure. */
let opened: OpenedForCheckpoints | null = null;

function close(): null {
  if (opened !== null) abandon(opened);
  opened = null;
  return null;
}

/**
 * Moves the WAL into the database, while the writer goes on.
 *
 * A connection that has failed to do so is closed: the disk may have lost a part of the WAL, and SQLite would
 * be told of that only once.
 */
export default function serve(request: CheckpointerRequest): Reply<null> {
  try {
    if (request.kind === "close") return { ok: true, value: close() };
    opened ??= openForCheckpoints(workerData as WorkerConfig);
    opened.files.check();
    if (request.kind === "checkpoint") opened.db.pragma("wal_checkpoint(PASSIVE)");
    return { ok: true, value: null };
  } catch (error) {
    close();
    return { ok: false, fault: toFault(error) };
  }
}
