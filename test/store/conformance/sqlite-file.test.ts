import "../../support/leak-guard.ts";
import { describe, test } from "vitest";
import { runStoreSuite } from "../../../src/store/conformance/run-store-suite.ts";
import { sqliteStore } from "../../support/sqlite-store.ts";
import { tempDatabase } from "../../support/temp-file.ts";

runStoreSuite({
  ...{ name: "SQLite on a file", test, describe },
  supports: { restart: true, severalInstances: true },
  setUp: () => {
    const path = tempDatabase();
    return { open: () => sqliteStore(path) };
  },
});
