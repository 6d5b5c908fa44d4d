import { ordersAsEnvironment, ordersFromEnvironment } from "../support/orders.ts";

/** The instructions of a child, in an environment variable that all its threads read. */
export interface Orders {
  readonly name: string;
  readonly seed: number;
  readonly logPath: string;
  readonly threadIds: readonly string[];
  /** The threads on which runs are silent for long before their first text. */
  readonly lateThreadIds: readonly string[];
  readonly leaseMs: number;
  readonly lingerMs: number;
  readonly onConcurrentRun: "reject" | "supersede" | "enqueue";
  /** The run ids that its clients use again and again. Null if each run has an id of its own. */
  readonly runIds: readonly string[] | null;
  /** The weight of each kind of run. */
  readonly mix: "usual" | "many-silent";
  /** Whether its clients stop the runs that they find on their threads, whoever executes them. */
  readonly stopsOthers: boolean;
  /** How long a thread gets no run after the store has refused a run on it. */
  readonly shyMs: number;
}

/** A line to the child. Any other line is the JSON of a run to start. */
export const OPEN_SECOND_RUNNER = "open-second-runner";

const VARIABLE = "CHAOS_ORDERS";

export const ordersInEnvironment = (orders: Orders): Record<string, string> =>
  ordersAsEnvironment(VARIABLE, orders);

export const readOrders = <O extends Orders>(): O => ordersFromEnvironment<O>(VARIABLE);
