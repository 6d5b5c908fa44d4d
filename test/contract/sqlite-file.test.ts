import { sqliteStore } from "../support/sqlite-store.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { describeRunStore } from "./run-store-contract.ts";

describeRunStore("SQLite on a file", { shared: true }, () => {
  const path = tempDatabase();
  return () => sqliteStore(path);
});
