// Loaded with `--import`, and so executed first in each thread of the process. Has the writer
// checkpoint far more often than usual, so that a short recording has many checkpoints.
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
