import { SqliteAgentRunner, type SqliteAgentRunnerOptions } from "../../src/index.ts";
import { PostgresAgentRunner } from "../../src/postgres.ts";
import type { PostgresOrders } from "./postgres/orders.ts";
import type { SqliteOrders } from "./sqlite/orders.ts";

export type ChaosOrders = SqliteOrders | PostgresOrders;

type Options = Pick<
  SqliteAgentRunnerOptions,
  "leaseMs" | "lingerMs" | "logger" | "onConcurrentRun" | "stopTimeoutMs"
>;

/** The runner of a process of a round. */
export function openRunner(orders: ChaosOrders, options: Options) {
  if (orders.store === "sqlite")
    return new SqliteAgentRunner({ ...options, dbPath: orders.dbPath });
  const { connectionString, listenUrl, prepare, answerTimeoutMs } = orders;
  return new PostgresAgentRunner({
    ...options,
    connectionString,
    listenUrl: listenUrl ?? connectionString,
    prepare,
    answerTimeoutMs,
  });
}
