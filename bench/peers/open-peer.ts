import { SqliteAgentRunner } from "../../src/index.ts";
import type { BenchRunner } from "./bench-runner.ts";
import type { PeerName } from "./peers.ts";

async function openDurable(dbPath: string, durability: "full" | "normal"): Promise<BenchRunner> {
  const runner = new SqliteAgentRunner({ dbPath, durability });
  await runner.ready();
  return runner;
}

async function openPostgres(connectionString: string): Promise<BenchRunner> {
  const { PostgresAgentRunner } = await import("../../src/postgres.ts");
  const runner = new PostgresAgentRunner({ connectionString });
  await runner.ready();
  return runner;
}

/**
 * `dbPath` is the URL of a database for the runner on PostgreSQL.
 *
 * Each peer is loaded only in the process that measures it: the heap of a module would slow down the
 * others.
 */
export async function openPeer(peer: PeerName, dbPath: string): Promise<BenchRunner> {
  switch (peer) {
    case "durable":
      return openDurable(dbPath, "full");
    case "durable-normal":
      return openDurable(dbPath, "normal");
    case "postgres":
      return openPostgres(dbPath);
    case "synchronous":
      return new (await import("./synchronous.ts")).SynchronousRunner(dbPath);
    case "in-memory":
      return (await import("./in-memory.ts")).openInMemory();
    case "no-runner":
      return new (await import("./no-runner.ts")).NoRunner();
    case "limit":
    case "postgres-store":
    case "postgres-limit":
      throw new Error("the limit is no runner: it has a loop of its own");
  }
}
