import type { EventLike } from "../../src/events/event.ts";
import { ordersAsEnvironment, ordersFromEnvironment } from "../support/orders.ts";

/** The instructions of a load process, in an environment variable for all its threads. */
export interface Orders {
  readonly name: string;
  readonly seed: number;
  readonly dbPath: string;
  readonly markPath: string;
  readonly threadIds: readonly string[];
  readonly durability: "full" | "normal";
  readonly lingerMs: number;
  /** Pages of WAL after which the writer checkpoints. Null for the product's default. */
  readonly autocheckpoint: number | null;
  /** Whether a thread with much content is stored and removed beside the other threads, some times. */
  readonly removes: boolean;
}

/** The marks that a load process writes into the record. */
export type Mark =
  /** `planned`: the events that the agent emits at most. */
  | {
      readonly what: "asked";
      readonly threadId: string;
      readonly runId: string;
      readonly planned: readonly EventLike[];
    }
  /** The client got the run's terminal event. `saw` has all events that it got. */
  | { readonly what: "ended"; readonly runId: string; readonly saw: readonly EventLike[] }
  /** The stream has completed. `kept`: no error of the store was reported for the run. */
  | { readonly what: "completed"; readonly runId: string; readonly kept: boolean };

const VARIABLE = "POWER_ORDERS";

export const ordersInEnvironment = (orders: Orders): Record<string, string> =>
  ordersAsEnvironment(VARIABLE, orders);

export const readOrders = (): Orders => ordersFromEnvironment<Orders>(VARIABLE);
