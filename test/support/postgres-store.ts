import { randomUUID } from "node:crypto";
import {
  type PostgresRunStoreOptions,
  postgresRunStore,
} from "../../src/store/postgres/postgres-run-store.ts";
import type { RunStore } from "../../src/store/run-store.ts";
import { collectingLogger } from "./open-runner.ts";

/** The name of a schema that is nowhere yet. A schema is made faster than a database. */
export const newSchema = () => `test_${randomUUID().replaceAll("-", "")}`;

/** A PostgreSQL store like that of a runner. The caller has to close it. */
export function postgresStore(
  options: Pick<PostgresRunStoreOptions, "connectionString" | "schema"> &
    Partial<PostgresRunStoreOptions>,
): RunStore {
  return postgresRunStore({
    prepare: true,
    answerTimeoutMs: 10_000,
    instanceId: randomUUID(),
    leaseMs: 15_000,
    interruptedNote: false,
    offersInterrupted: false,
    lingerMs: 5,
    maxBatchBytes: 1024 * 1024,
    maxPendingBytes: 64 * 1024 * 1024,
    storeRawEvents: true,
    logger: collectingLogger(),
    ...options,
  });
}
