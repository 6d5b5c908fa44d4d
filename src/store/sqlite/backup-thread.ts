import type {
  BackupRequest,
  BackupSize,
  WorkerConfig,
  WriterNotice,
  WriterRequest,
} from "../../protocol/messages.ts";
import { WorkerPool } from "../worker-threads/worker-pool.ts";

/** A thread that makes a backup. */
export interface BackupThread {
  readonly request: (request: BackupRequest) => Promise<BackupSize>;
  /** Ends the thread at once. Resolves when the thread has ended. Further calls do the same. */
  readonly destroy: () => Promise<void>;
}

/** Starts a thread for one backup: no read of history waits for it, and it can be ended at any time. */
export function startBackupThread(
  config: WorkerConfig,
  onNotice: (notice: WriterNotice) => void,
): BackupThread {
  const diedCode = "READER_DIED";
  const pool = new WorkerPool<BackupRequest>({
    worker: "backup",
    threads: 1,
    config,
    diedCode,
    onNotice,
  });
  let ended: Promise<void> | null = null;
  return {
    request: (request) => pool.request(request),
    destroy: () => {
      ended ??= pool.destroy();
      return ended;
    },
  };
}

/** Makes a backup in the writer: no other thread can read a database in memory. It cannot be ended. */
export function writerAsBackup(
  askWriter: (request: WriterRequest) => Promise<BackupSize>,
): BackupThread {
  return {
    request: (request) => askWriter({ kind: "backup", ...request }),
    destroy: async () => undefined,
  };
}
