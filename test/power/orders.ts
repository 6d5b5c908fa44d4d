import type { EventLike } from "../../src/events/event.ts";

/** What the parent tells a process of the load, in an environment variable for all of its threads. */
export interface Orders {
  readonly name: string;
  readonly seed: number;
  readonly dbPath: string;
  readonly markPath: string;
  readonly threadIds: readonly string[];
  readonly durability: "full" | "normal";
  readonly lingerMs: number;
  /** Pages of WAL after which the writer checkpoints; null for the product's own figure. */
  readonly autocheckpoint: number | null;
}

/** What a process of the load says in the order of the record. */
export type Mark =
  /** `planned`: what the agent is going to say at most. */
  | {
      readonly what: "asked";
      readonly threadId: string;
      readonly runId: string;
      readonly planned: readonly EventLike[];
    }
  /** The client was given the run's terminal event; `saw` is all that it was given. */
  | { readonly what: "ended"; readonly runId: string; readonly saw: readonly EventLike[] }
  /** The stream has completed. `kept`: and nothing was said of trouble with storing the run. */
  | { readonly what: "completed"; readonly runId: string; readonly kept: boolean };

const VARIABLE = "POWER_ORDERS";

export function ordersInEnvironment(orders: Orders): Record<string, string> {
  return { [VARIABLE]: JSON.stringify(orders) };
}

export function readOrders(): Orders {
  const json = process.env[VARIABLE];
  if (json === undefined) throw new Error(`${VARIABLE} is not set`);
  return JSON.parse(json) as Orders;
}
