import type {
  BackupRequest,
  BackupSize,
  WorkerConfig,
  WriterNotice,
  WriterRequest,
} from "../../protocol/messages.ts";
import { WorkerPool } from "./worker-pool.ts";

/** A thread that makes a backup. */
export interface BackupThread {
  readonly request: (request: BackupRequest) => Promise<BackupSize>;
  /** Ends the thread, whatever it is doing. Resolves when it is gone, however often it is called. */
  readonly destroy: () => Promise<void>;
}

/** A thread of its own: no history waits for a backup, and it can be ended in the middle. */
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

/** Only the writer can read a database in memory, and its backup ends by itself. */
export function writerAsBackup(
  askWriter: (request: WriterRequest) => Promise<BackupSize>,
): BackupThread {
  return {
    request: (request) => askWriter({ kind: "backup", ...request }),
    destroy: async () => undefined,
  };
}
