import { createRequire } from "node:module";
import { workerData } from "node:worker_threads";
import type BetterSqlite3 from "better-sqlite3";
import { messageOf, RunStoreError } from "../../../src/protocol/errors.ts";
import { LoadGate } from "../../../src/protocol/load-gate.ts";
import type { ThreadConfig } from "../../../src/protocol/messages.ts";

export type Driver = typeof BetterSqlite3;

// The name must be `require`: tools that trace the files of a server follow only calls of that name.
const require = createRequire(import.meta.url);

let driver: Driver | null = null;

/**
 * Loads the driver when it is first needed, and not by an import. So a native module that does not load
 * is reported as the answer to a request; a failed import would end the thread before it can answer.
 */
export function loadDriver(): Driver {
  driver ??= load();
  return driver;
}

function load(): Driver {
  // Null on a main thread, which nothing terminates.
  const { loading } = (workerData ?? {}) as Partial<ThreadConfig>;
  const gate = new LoadGate(loading);
  try {
    const Database = require("better-sqlite3") as Driver;
    // The driver loads its native code with its first database.
    gate.pass(() => new Database(":memory:").close());
    return Database;
  } catch (error) {
    if (error instanceof RunStoreError) throw error;
    throw new RunStoreError(
      "NATIVE_MODULE_FAILED",
      `better-sqlite3 could not be loaded on ${process.platform} ${process.arch}, Node ${process.versions.node}: ${messageOf(error)}`,
    );
  }
}
