import "../../support/leak-guard.ts";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe } from "vitest";
import { runStoreSuite } from "../../../src/store/conformance/run-store-suite.ts";
import { postgresRunStore } from "../../../src/store/postgres/postgres-run-store.ts";
import { collectingLogger } from "../../support/open-runner.ts";
import { type PostgresServer, startPostgres } from "../../support/postgres.ts";
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
    removal: false,
  },
  setUp: () => {
    // A schema is made faster than a database.
    const schema = `test_${randomUUID().replaceAll("-", "")}`;
    return {
      open: () =>
        postgresRunStore({
          connectionString,
          schema,
          prepare: true,
          answerTimeoutMs: 10_000,
          instanceId: randomUUID(),
          leaseMs: 15_000,
          interruptedNote: false,
          offersInterrupted: false,
          lingerMs: 5,
          maxBatchBytes: 1024 * 1024,
          maxPendingBytes: 64 * 1024 * 1024,
          storeRawEvents: true,
          logger: collectingLogger(),
        }),
    };
  },
});
