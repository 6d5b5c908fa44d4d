// Given to a process with `--import`, and so executed in each of its threads before anything else:
// has the writer checkpoint far more often than it would, so that a short recording has many.
import { createRequire } from "node:module";
import type { Database } from "better-sqlite3";
import { readOrders } from "./orders.ts";

const { autocheckpoint } = readOrders();
if (autocheckpoint !== null) {
  const { prototype } = createRequire(import.meta.url)("better-sqlite3") as {
    prototype: Pick<Database, "pragma">;
  };
  const { pragma } = prototype;
  prototype.pragma = function (this: Database, source, options) {
    const isOurs = source.startsWith("wal_autocheckpoint");
    return pragma.call(this, isOurs ? `wal_autocheckpoint = ${autocheckpoint}` : source, options);
  };
}
