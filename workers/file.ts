import { workerData } from "node:worker_threads";
import type { DatabaseCheck, DatabaseFacts, FileRequest } from "../src/protocol/file-messages.ts";
import type { Reply, WorkerConfig } from "../src/protocol/messages.ts";
import { toFault } from "./sqlite/database/fault.ts";
import { openForFileWork } from "./sqlite/database/open.ts";
import { checkFile } from "./sqlite/maintenance/check-file.ts";
import { compact, inspect } from "./sqlite/maintenance/inspect-file.ts";
import { version1File } from "./sqlite/maintenance/version-1-file.ts";

/** Works on a file on a connection of its own, apart from any runner. */
export default function serve(request: FileRequest): Reply<DatabaseFacts | DatabaseCheck | null> {
  const { dbPath } = workerData as WorkerConfig;
  try {
    if (request.kind === "version-1") return { ok: true, value: version1File(dbPath, request) };
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
