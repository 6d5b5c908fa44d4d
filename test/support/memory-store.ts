import { randomUUID } from "node:crypto";
import { QueuedRunStore } from "../../src/store/queued/queued-run-store.ts";
import { MemoryBackend } from "./memory-backend.ts";
import { MemoryDatabase } from "./memory-database.ts";
import { collectingLogger } from "./open-runner.ts";

/** The store of a runner, over rows in memory. Several may share a database. */
export class MemoryRunStore extends QueuedRunStore {
  constructor(database = new MemoryDatabase()) {
    const leaseMs = 15_000;
    super({
      ...{ backend: new MemoryBackend(database, randomUUID(), leaseMs), leaseMs },
      ...{ lingerMs: 50, maxBatchBytes: 1024 ** 2, maxPendingBytes: 64 * 1024 ** 2 },
      ...{ storeRawEvents: true, logger: collectingLogger() },
    });
  }
}
