import type { Orders } from "../orders.ts";

export interface SqliteOrders extends Orders {
  readonly store: "sqlite";
  readonly dbPath: string;
  /** Each trap waits until the trap before it has sprung. */
  readonly traps: readonly Trap[];
  /**
   * The path of a file with the error of `Date.now` in milliseconds, as a double. Null for a correct
   * clock.
   */
  readonly clockPath: string | null;
  /** How long the writer waits for a lock of another process. Null for the default of the product. */
  readonly busyTimeoutMs: number | null;
  /** Whether the process runs in a pid namespace of its own. */
  readonly newPidNamespace: boolean;
  /** The heap of a worker thread, if it should run out of memory. */
  readonly workerHeapMb: number | null;
  /** The positions, from 0, of the syncs for completed runs that fail, in each thread. */
  readonly failedSyncs: readonly number[];
}

/** A point in the work of a writer or reader, identified by its SQL. */
export type Point =
  | "begin"
  | "claim"
  | "append"
  | "finish"
  | "commit"
  /** The COMMIT of a batch with such an operation. */
  | "commit-claim"
  | "commit-append"
  | "commit-finish"
  /** Storing a run that a dead process left. */
  | "recovery"
  /** A change of the schema. */
  | "migration"
  /** Reading a run for a client. */
  | "page";

export interface Trap {
  readonly point: Point;
  readonly when: "before" | "after";
  /** How often the point is passed before. */
  readonly skip: number;
  readonly act: Act;
}

export type Act =
  /** The process sends itself SIGKILL. */
  | { readonly kind: "kill" }
  /** Another thread sends SIGKILL, so many microseconds after a checkpoint has begun. */
  | { readonly kind: "kill-in-checkpoint"; readonly mode: string; readonly delayUs: number }
  /** The thread ends. */
  | { readonly kind: "exit" }
  /** The thread ends by an uncaught error, so many milliseconds later. */
  | { readonly kind: "uncaught"; readonly delayMs: number }
  | { readonly kind: "out-of-memory" }
  /** The thread ends while another program holds the write lock: see `signOfLock`. */
  | { readonly kind: "exit-under-lock" }
  /** The statement takes so long, this time and the next times. */
  | { readonly kind: "slow"; readonly ms: number; readonly times: number }
  /**
   * The statement fails with this SQLite error, `times` times in a row. `rollback`: SQLite rolls back
   * too.
   */
  | {
      readonly kind: "sqlite-error";
      readonly code: string;
      readonly times: number;
      readonly rollback: boolean;
    }
  /** The file may not grow, until so many milliseconds after the first failure. */
  | { readonly kind: "page-quota"; readonly liftMs: number };

/** The file by which `lock.child.ts` is told to take the write lock, and says that it has it. */
export function signOfLock(logPath: string): string {
  return `${logPath}.locked`;
}
