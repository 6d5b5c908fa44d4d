import "../../support/leak-guard.ts";
import { describe } from "vitest";
import { runStoreSuite } from "../../../src/store/conformance/run-store-suite.ts";
import { MemoryDatabase } from "../../support/memory-database.ts";
import { MemoryRunStore } from "../../support/memory-store.ts";
import { suiteTest } from "./suite-test.ts";

runStoreSuite({
  ...{ name: "rows in memory", test: suiteTest, describe },
  supports: {
    restart: true,
    severalInstances: true,
    resources: true,
    threads: false,
    removal: false,
    transfer: false,
  },
  setUp: () => {
    const database = new MemoryDatabase();
    return { open: () => new MemoryRunStore(database) };
  },
});
