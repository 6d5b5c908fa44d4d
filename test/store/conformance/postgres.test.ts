import "../../support/leak-guard.ts";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe } from "vitest";
import { runStoreSuite } from "../../../src/store/conformance/run-store-suite.ts";
import { postgresRunStore } from "../../../src/store/postgres/postgres-run-store.ts";
import { type PostgresServer, startPostgres } from "../../support/postgres.ts";
import { collectingLogger } from "../../support/open-runner.ts";
import { suiteTest } from "./suite-test.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

runStoreSuite({
  name: "PostgreSQL",
  test: suiteTest,
  describe,
  supports: { restart: true, severalInstances: true, resources: true },
  setUp: async () => {
    const connectionString = await server.newDatabase();
    return {
      open: () =>
        postgresRunStore({
          connectionString,
          schema: "durable_agent_runner",
          prepare: true,
          answerTimeoutMs: 10_000,
          instanceId: randomUUID(),
          leaseMs: 15_000,
          interruptedNote: false,
          lingerMs: 5,
          maxBatchBytes: 1024 * 1024,
          maxPendingBytes: 64 * 1024 * 1024,
          storeRawEvents: true,
          logger: collectingLogger(),
        }),
    };
  },
});
