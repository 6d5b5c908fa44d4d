import "../../support/leak-guard.ts";
import { afterAll, beforeAll, describe } from "vitest";
import { runStoreSuite } from "../../../src/store/conformance/run-store-suite.ts";
import { type PostgresServer, startPostgres } from "../../support/postgres.ts";
import { newSchema, postgresStore } from "../../support/postgres-store.ts";
import { suiteTest } from "./suite-test.ts";

let server: PostgresServer;
let connectionString: string;
beforeAll(async () => {
  server = await startPostgres();
  connectionString = await server.newDatabase();
});
afterAll(() => server.stop());

runStoreSuite({
  name: "PostgreSQL",
  test: suiteTest,
  describe,
  supports: {
    restart: true,
    severalInstances: true,
    resources: true,
    threads: true,
    removal: true,
    transfer: true,
  },
  setUp: () => {
    const schema = newSchema();
    return { open: () => postgresStore({ connectionString, schema }) };
  },
});
