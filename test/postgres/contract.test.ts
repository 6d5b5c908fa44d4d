/*
 * What a runner does on SQLite, it does on PostgreSQL: these are the tests of test/behaviour. `newRunner` makes
 * their runners, and reads the variable that is set here.
 */
import "../support/leak-guard.ts";
import { afterAll, beforeAll } from "vitest";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import "../behaviour/concurrent-runs.test.ts";
import "../behaviour/join-live-run.test.ts";
import "../behaviour/reload.test.ts";
import "../behaviour/reloaded-conversations.test.ts";
import "../behaviour/replay-pages.test.ts";
import "../behaviour/replayed-view.test.ts";
import "../behaviour/run-end.test.ts";
import "../behaviour/run.test.ts";
import "../behaviour/stop.test.ts";
import "../behaviour/subscribers.test.ts";
import "../processes/following-random.test.ts";

let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
  process.env.RUNNER_POSTGRES_URL = await server.newDatabase();
});

afterAll(async () => {
  delete process.env.RUNNER_POSTGRES_URL;
  await server.stop();
});
