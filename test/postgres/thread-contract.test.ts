/*
 * Lists of threads, whose they are, titles, and runs that a crash ended, on PostgreSQL: see contract.test.ts.
 */
import "../support/leak-guard.ts";
import { afterAll, beforeAll } from "vitest";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import "../behaviour/rerun.test.ts";
import "../behaviour/resources.test.ts";
import "../behaviour/threads.test.ts";
import "../behaviour/titles.test.ts";

let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
  process.env.RUNNER_POSTGRES_URL = await server.newDatabase();
});

afterAll(async () => {
  delete process.env.RUNNER_POSTGRES_URL;
  await server.stop();
});
