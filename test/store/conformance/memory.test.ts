import "../../support/leak-guard.ts";
import { describe, test } from "vitest";
import { runStoreSuite } from "../../../src/store/conformance/run-store-suite.ts";
import { MemoryRunStore, MemoryRuns } from "../../contract/memory-run-store.ts";

runStoreSuite({
  ...{ name: "an array in memory", test, describe },
  supports: { restart: true, severalInstances: true },
  setUp: () => {
    const runs = new MemoryRuns();
    return { open: () => new MemoryRunStore(runs) };
  },
});
