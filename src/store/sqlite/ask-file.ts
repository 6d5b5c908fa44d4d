import { resolve } from "node:path";
import type { FileRequest } from "../../protocol/file-messages.ts";
import { WorkerPool } from "../worker-threads/worker-pool.ts";

/** A thread that works on a file apart from any runner. */
export function fileThread(dbPath: string): WorkerPool<FileRequest> {
  return new WorkerPool<FileRequest>({
    worker: "file",
    threads: 1,
    config: { dbPath: resolve(dbPath), instanceId: "", leaseMs: 0, file: null },
    diedCode: "READER_DIED",
  });
}

/** Asks a thread of its own, which ends afterwards. The answer has the type that fits the request. */
export async function askFile<V>(dbPath: string, request: FileRequest): Promise<V> {
  const thread = fileThread(dbPath);
  try {
    return await thread.request<V>(request);
  } finally {
    await thread.destroy();
  }
}
