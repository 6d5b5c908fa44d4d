import type { PeerInfo } from "../results.ts";

export type PeerName =
  | "durable"
  | "durable-normal"
  | "in-memory"
  | "synchronous"
  | "limit"
  | "no-runner"
  | "postgres"
  | "postgres-store"
  | "postgres-limit";

/** The measured runners, and what each of them keeps after a crash. */
export const PEERS: readonly (PeerInfo & { readonly name: PeerName })[] = [
  {
    name: "durable",
    label: "SqliteAgentRunner",
    short: "SQLite, full",
    promise:
      'durability "full", the default. kill -9: completed runs, and runs in flight up to 50 ms ago, closed properly. Power loss: completed runs. No thread stays locked.',
    kept: "completed runs, and runs in flight up to 50 ms ago",
  },
  {
    name: "durable-normal",
    label: 'SqliteAgentRunner, "normal"',
    short: "SQLite, normal",
    promise: 'durability "normal". As above, but power loss may take the last few completed runs.',
    kept: "the same; power loss may take the last few",
  },
  {
    name: "in-memory",
    label: "InMemoryAgentRunner",
    short: "in memory",
    promise:
      "Nothing survives the process. Bounds off, so that nothing is evicted either: the ceiling of the agent loop itself.",
    kept: "nothing",
  },
  {
    name: "synchronous",
    label: "synchronous (version 1 design)",
    short: "synchronous",
    promise: "Completed runs. A run in flight is lost whole, and its thread stays locked.",
    kept: "completed runs; a run in flight is lost and locks its thread",
  },
  {
    name: "limit",
    label: "limit (bare SQLite loop)",
    short: "limit",
    promise:
      "No runner: one thread inserts the rows of completed runs, 100 a transaction, fsynced. Committed rows survive power loss.",
    kept: "completed runs",
  },
  {
    name: "postgres",
    label: "PostgresAgentRunner",
    short: "PostgreSQL",
    promise:
      "As SqliteAgentRunner, if one host dies or all of them. Committed runs survive a power loss of the server.",
    kept: "as SqliteAgentRunner",
  },
  {
    name: "postgres-store",
    label: "the store of PostgresAgentRunner",
    short: "its store",
    promise: "No runner: claims and completed runs go to the store in batches, 100 a batch.",
    kept: "completed runs",
  },
  {
    name: "postgres-limit",
    label: "limit (bare PostgreSQL inserts)",
    short: "PostgreSQL limit",
    promise:
      "No runner: each process inserts the rows of completed runs, 100 a statement, over 2 connections. Committed rows survive a power loss of the server.",
    kept: "completed runs",
  },
  {
    name: "no-runner",
    label: "no runner",
    short: "no runner",
    promise: "Keeps nothing: the agents emit into a function that counts.",
    kept: "nothing",
  },
];
