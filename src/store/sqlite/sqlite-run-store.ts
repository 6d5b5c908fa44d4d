import { QueuedRunStore, type QueuedRunStoreOptions } from "../queued/queued-run-store.ts";
import type { RunStore } from "../run-store.ts";
import { SqliteBackend, type SqliteBackendOptions } from "./sqlite-backend.ts";

export type SqliteRunStoreOptions = Omit<QueuedRunStoreOptions, "backend"> & SqliteBackendOptions;

/** A store in a SQLite file, or in memory for the path `":memory:"`. */
export function sqliteRunStore(options: SqliteRunStoreOptions): RunStore {
  return new QueuedRunStore({ ...options, backend: new SqliteBackend(options) });
}
