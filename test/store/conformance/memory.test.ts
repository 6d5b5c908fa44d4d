import "../../support/leak-guard.ts";
import { describe, test } from "vitest";
import { runStoreSuite } from "../../../src/store/conformance/run-store-suite.ts";
import { MemoryDatabase } from "../../support/memory-database.ts";
import { MemoryRunStore } from "../../support/memory-store.ts";

runStoreSuite({
  ...{ name: "rows in memory", test, describe },
  supports: { restart: true, severalInstances: true },
  setUp: () => {
    const database = new MemoryDatabase();
    return { open: () => new MemoryRunStore(database) };
  },
});
