/** What the parent tells a child, in an environment variable, to be read in all of its threads. */
export interface Orders {
  readonly name: string;
  readonly seed: number;
  readonly dbPath: string;
  readonly logPath: string;
  readonly threadIds: readonly string[];
  /** On these, runs are silent for long before they say something. */
  readonly lateThreadIds: readonly string[];
  readonly leaseMs: number;
  readonly lingerMs: number;
  readonly onConcurrentRun: "reject" | "supersede" | "enqueue";
  /** The ids that its clients give to runs, again and again; null: each run has one of its own. */
  readonly runIds: readonly string[] | null;
  /** How often each kind of run is to come. */
  readonly mix: "usual" | "many-silent";
  /** Of those, each is waited for when the one before it has sprung. */
  readonly traps: readonly Trap[];
  /** Holds the milliseconds by which `Date.now` is off, as a double; null for a good clock. */
  readonly clockPath: string | null;
  /** How long the writer waits for another's lock, when it is not to be the product's own figure. */
  readonly busyTimeoutMs: number | null;
  /** How long a thread is left alone on which the store has refused a run. */
  readonly shyMs: number;
  /** The process is to run in a pid namespace of its own. */
  readonly newPidNamespace: boolean;
  /** Heap of a worker thread, when it is to run out. */
  readonly workerHeapMb: number | null;
  /** Of the syncs that complete runs, the places of those that fail, from 0. */
  readonly failedSyncs: readonly number[];
}

/** A place in the writer's or reader's work, known by its SQL. */
export type Point =
  | "begin"
  | "claim"
  | "append"
  | "finish"
  | "commit"
  /** The COMMIT of a batch with such an operation in it. */
  | "commit-claim"
  | "commit-append"
  | "commit-finish"
  /** The storing of a run that a dead process left. */
  | "recovery"
  /** A change of the schema. */
  | "migration"
  /** The reading of a run for a client. */
  | "page";

export interface Trap {
  readonly point: Point;
  readonly when: "before" | "after";
  /** How often the point is passed before. */
  readonly skip: number;
  readonly act: Act;
}

export type Act =
  /** SIGKILL of the process by itself. */
  | { readonly kind: "kill" }
  /** SIGKILL from another thread, so many microseconds after a checkpoint has begun. */
  | { readonly kind: "kill-in-checkpoint"; readonly mode: string; readonly delayUs: number }
  /** The thread ends. */
  | { readonly kind: "exit" }
  /** The thread ends by an error that nobody catches, so many milliseconds later. */
  | { readonly kind: "uncaught"; readonly delayMs: number }
  | { readonly kind: "out-of-memory" }
  /** The thread ends while another program holds the write lock, for so long. */
  | { readonly kind: "exit-under-lock"; readonly holdMs: number }
  /** It takes so long, and the next times, too. */
  | { readonly kind: "slow"; readonly ms: number; readonly times: number }
  /** SQLite's error, `times` times in a row. `rollback`: SQLite has rolled back by itself. */
  | {
      readonly kind: "sqlite-error";
      readonly code: string;
      readonly times: number;
      readonly rollback: boolean;
    }
  /** The file may not grow, until so many milliseconds after that was first felt. */
  | { readonly kind: "page-quota"; readonly liftMs: number };

/** A line to the child: any other is the JSON of a run to ask for. */
export const OPEN_SECOND_RUNNER = "open-second-runner";

const VARIABLE = "CHAOS_ORDERS";

export function ordersInEnvironment(orders: Orders): Record<string, string> {
  return { [VARIABLE]: JSON.stringify(orders) };
}

export function readOrders(): Orders {
  const json = process.env[VARIABLE];
  if (json === undefined) throw new Error(`${VARIABLE} is not set`);
  return JSON.parse(json) as Orders;
}
