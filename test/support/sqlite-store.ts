import { randomUUID } from "node:crypto";
import type { RunStore } from "../../src/store/run-store.ts";
import { sqliteRunStore } from "../../src/store/sqlite/sqlite-run-store.ts";
import { collectingLogger } from "./open-runner.ts";

/** A SQLite store like that of a runner. The caller has to close it. */
export function sqliteStore(dbPath: string): RunStore {
  return sqliteRunStore({
    dbPath,
    instanceId: randomUUID(),
    lingerMs: 50,
    maxBatchBytes: 1024 * 1024,
    maxPendingBytes: 64 * 1024 * 1024,
    readers: 1,
    leaseMs: 15_000,
    durability: "full",
    storeRawEvents: true,
    logger: collectingLogger(),
  });
}
