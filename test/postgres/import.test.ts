/*
 * An import into PostgreSQL does what one into a file does: these are the tests of test/behaviour. `newRunner` makes
 * their runners, and reads the variable that is set here.
 */
import "../support/leak-guard.ts";
import { afterAll, beforeAll } from "vitest";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import "../behaviour/import.test.ts";

let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
  process.env.RUNNER_POSTGRES_URL = await server.newDatabase();
});

afterAll(async () => {
  delete process.env.RUNNER_POSTGRES_URL;
  await server.stop();
});
