import { compactJournal, cutRun } from "../../runs/compact-journal.ts";
import { QueuedRunStore, type QueuedRunStoreOptions } from "../queued/queued-run-store.ts";
import type { RunStore } from "../run-store.ts";
import { PostgresBackend, type PostgresBackendOptions } from "./postgres-backend.ts";

export type PostgresRunStoreOptions = Omit<QueuedRunStoreOptions, "backend"> &
  Omit<PostgresBackendOptions, "compactorWorker">;

/** A store in a database of PostgreSQL. */
export function postgresRunStore(options: PostgresRunStoreOptions): RunStore {
  const compactorWorker = {
    compact: async (journal: Parameters<typeof compactJournal>[0]) => compactJournal(journal),
    cut: async (events: string) => cutRun(events),
    end: async () => undefined,
  };
  return new QueuedRunStore({
    ...options,
    backend: new PostgresBackend({ ...options, compactorWorker }),
  });
}
