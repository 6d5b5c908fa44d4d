import "../../support/leak-guard.ts";
import { describe } from "vitest";
import { runStoreSuite } from "../../../src/store/conformance/run-store-suite.ts";
import { sqliteStore } from "../../support/sqlite-store.ts";
import { tempDatabase } from "../../support/temp-file.ts";
import { suiteTest } from "./suite-test.ts";

runStoreSuite({
  ...{ name: "SQLite on a file", test: suiteTest, describe },
  supports: {
    restart: true,
    severalInstances: true,
    resources: true,
    threads: true,
    removal: true,
    transfer: true,
  },
  setUp: () => {
    const path = tempDatabase();
    return { open: () => sqliteStore(path) };
  },
});
