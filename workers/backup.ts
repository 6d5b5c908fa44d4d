import { parentPort, workerData } from "node:worker_threads";
import type { BackupRequest, BackupSize, Reply, WorkerConfig } from "../src/protocol/messages.ts";
import { toFault } from "./sqlite/database/fault.ts";
import { openForReading } from "./sqlite/database/open.ts";
import { backUp } from "./sqlite/maintenance/backup.ts";

/** Makes one backup, on a read-only connection opened for it. */
export default async function serve(request: BackupRequest): Promise<Reply<BackupSize>> {
  try {
    const db = openForReading(workerData as WorkerConfig);
    try {
      const value = await backUp(db, request, (notice) => parentPort?.postMessage(notice));
      return { ok: true, value };
    } finally {
      db.close();
    }
  } catch (error) {
    return { ok: false, fault: toFault(error) };
  }
}
