import { readFileSync } from "node:fs";
import { type PostgresServer, startPostgres } from "../../test/support/postgres.ts";

/** As a server is installed: every commit is on the disk, and the server cleans up behind itself. */
const DURABLE = {
  fsync: "on",
  full_page_writes: "on",
  autovacuum: "on",
  shared_buffers: "256MB",
  max_wal_size: "2GB",
};

export function startServer(): Promise<PostgresServer> {
  return startPostgres(DURABLE);
}

/** Why no server can start on this machine, or null. */
export async function whyNoServer(): Promise<string | null> {
  try {
    const server = await startPostgres();
    try {
      await server.newDatabase();
    } finally {
      await server.stop();
    }
    return null;
  } catch (error) {
    const { message, code } = error as { readonly message?: string; readonly code?: string };
    return `no PostgreSQL server: ${(message || code || String(error)).split("\n")[0]}`;
  }
}

/** Figures of a server, for differences. */
export interface ServerReading {
  /** Microseconds of processor time of all its processes. Null where the system does not tell. */
  readonly cpuUs: number | null;
  readonly walBytes: number;
}

export async function readServer(server: PostgresServer): Promise<ServerReading> {
  const [{ wal }] = await server.query("SELECT pg_current_wal_insert_lsn() - '0/0' AS wal");
  const pids = await server.query("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()");
  return { cpuUs: sumOf(pids, cpuUsOf), walBytes: Number(wal) };
}

/** The connections of the runners, and the memory that the server has for them alone. */
export async function readConnections(
  server: PostgresServer,
): Promise<{ readonly count: number; readonly mib: number | null }> {
  const pids = await server.query(
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'durable-agent-runner'",
  );
  const kib = sumOf(pids, privateKiBOf);
  return { count: pids.length, mib: kib === null ? null : kib / 1024 };
}

function sumOf(
  rows: readonly { readonly pid: number }[],
  of: (pid: number) => number,
): number | null {
  // A server elsewhere has its processes elsewhere.
  if (process.platform !== "linux" || process.env.POSTGRES_URL !== undefined) return null;
  return rows.reduce((sum, { pid }) => sum + of(pid), 0);
}

function cpuUsOf(pid: number): number {
  const [ns] = readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ");
  return Number(ns) / 1000;
}

function privateKiBOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  let kib = 0;
  for (const [, size] of text.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)) kib += Number(size);
  return kib;
}
