import "../../support/leak-guard.ts";
import { describe } from "vitest";
import { runStoreSuite } from "../../../src/store/conformance/run-store-suite.ts";
import { sqliteStore } from "../../support/sqlite-store.ts";
import { suiteTest } from "./suite-test.ts";

runStoreSuite({
  ...{ name: "SQLite in memory", test: suiteTest, describe },
  // A database in memory ends with the connection that made it: no other store can be on it.
  supports: {
    restart: false,
    severalInstances: false,
    resources: true,
    threads: true,
    removal: true,
    transfer: true,
  },
  setUp: () => ({ open: () => sqliteStore(":memory:") }),
});
