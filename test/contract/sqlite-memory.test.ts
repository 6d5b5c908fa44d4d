import { sqliteStore } from "../support/sqlite-store.ts";
import { describeRunStore } from "./run-store-contract.ts";

// An in-memory database dies with the connection that made it: no second store can be on it.
describeRunStore("SQLite in memory", { shared: false }, () => () => sqliteStore(":memory:"));
