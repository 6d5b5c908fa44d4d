import { createRequire } from "node:module";
import type BetterSqlite3 from "better-sqlite3";
import { nativeGate } from "../../../src/native/native-calls.ts";
import { messageOf, RunStoreError } from "../../../src/protocol/errors.ts";

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
  try {
    const Database = require("better-sqlite3") as Driver;
    // The driver loads its native code with its first database.
    nativeGate.pass(() => new Database(":memory:").close());
    return Database;
  } catch (error) {
    if (error instanceof RunStoreError) throw error;
    throw new RunStoreError(
      "NATIVE_MODULE_FAILED",
      `better-sqlite3 could not be loaded on ${process.platform} ${process.arch}, Node ${process.versions.node}: ${messageOf(error)}`,
    );
  }
}
