import { workerData } from "node:worker_threads";
import type { DatabaseCheck, DatabaseFacts, FileRequest } from "../src/protocol/file-messages.ts";
import type { Reply, WorkerConfig } from "../src/protocol/messages.ts";
import { toFault } from "./sqlite/database/fault.ts";
import { openForFileWork } from "./sqlite/database/open.ts";
import { checkFile } from "./sqlite/maintenance/check-file.ts";
import { compact, inspect } from "./sqlite/maintenance/inspect-file.ts";

/** Works on a file on a connection of its own, apart from any runner. */
export default function serve(request: FileRequest): Reply<DatabaseFacts | DatabaseCheck> {
  const { dbPath } = workerData as WorkerConfig;
  try {
    const db = openForFileWork(dbPath);
    try {
      switch (request.kind) {
        case "inspect":
          return { ok: true, value: inspect(db) };
        case "check":
          return { ok: true, value: checkFile(db, request) };
        case "compact":
          return { ok: true, value: compact(db) };
      }
    } finally {
      db.close();
    }
  } catch (error) {
    return { ok: false, fault: toFault(error) };
  }
}
