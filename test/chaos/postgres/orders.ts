import type { Orders } from "../orders.ts";

export interface PostgresOrders extends Orders {
  readonly store: "postgres";
  /** Leads to the server through the proxy of the process. */
  readonly connectionString: string;
  /** A way past the pooler for LISTEN. Null where it is that of everything else. */
  readonly listenUrl: string | null;
  readonly prepare: boolean;
  readonly answerTimeoutMs: number;
}
