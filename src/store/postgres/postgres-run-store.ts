import { QueuedRunStore, type QueuedRunStoreOptions } from "../queued/queued-run-store.ts";
import type { RunStore } from "../run-store.ts";
import { PostgresBackend, type PostgresBackendOptions } from "./postgres-backend.ts";

export type PostgresRunStoreOptions = Omit<QueuedRunStoreOptions, "backend"> &
  PostgresBackendOptions;

/** A store in a database of PostgreSQL. */
export function postgresRunStore(options: PostgresRunStoreOptions): RunStore {
  return new QueuedRunStore({ ...options, backend: new PostgresBackend(options) });
}
