/*
 * Removing, forking and purging threads on PostgreSQL: see contract.test.ts.
 */
import "../support/leak-guard.ts";
import { afterAll, beforeAll } from "vitest";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import "../behaviour/purge-races.test.ts";
import "../behaviour/removed-while-busy.test.ts";
import "../behaviour/rerun-after-removal.test.ts";
import "../behaviour/retention.test.ts";
import "../processes/removed-threads.test.ts";

let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
  process.env.RUNNER_POSTGRES_URL = await server.newDatabase();
});

afterAll(async () => {
  delete process.env.RUNNER_POSTGRES_URL;
  await server.stop();
});
