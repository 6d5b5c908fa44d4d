import type { DatabaseCheck, DatabaseFacts } from "../protocol/file-messages.ts";
import { askFile } from "../store/sqlite/ask-file.ts";
import { assertNodeVersion } from "./node-version.ts";
import { assertId } from "./thread-arguments.ts";

/**
 * What is known of a database file, whatever its version. Changes nothing, and opens no runner.
 *
 * @throws {RunStoreError} `CANNOT_OPEN`: there is no such file. `NOT_A_DATABASE`, `FOREIGN_FILE`, `SCHEMA_TOO_NEW`,
 * `CORRUPT`, `BUSY`, `IO_ERROR`.
 */
export function inspectDatabase(dbPath: string): Promise<DatabaseFacts> {
  return ask(dbPath, { kind: "inspect" });
}

/**
 * Reads the whole file, and says what is wrong with it: damaged pages, indexes that do not fit their tables,
 * events that are no JSON, counts that are wrong, and threads that are held by a process that is gone. May be
 * called beside runners. A file of an older schema is not checked for what it does not have.
 *
 * With `repair`, indexes are made again and counts are set right, in one transaction: other programs wait
 * for it. Damaged pages cannot be repaired. Threads of dead processes are freed by the next runner that is opened.
 *
 * @throws {RunStoreError} as `inspectDatabase`.
 */
export function checkDatabase(
  dbPath: string,
  { repair = false }: { readonly repair?: boolean } = {},
): Promise<DatabaseCheck> {
  return ask(dbPath, { kind: "check", repair });
}

/**
 * Rewrites the file without its free pages, and so that later purges give pages back. No other program may
 * have the file open. Needs as much room on the disk as the file takes, twice for a moment.
 *
 * @throws {RunStoreError} `BUSY`: another program has it open. `DISK_FULL`, and as `inspectDatabase`.
 */
export function compactDatabase(dbPath: string): Promise<DatabaseFacts> {
  return ask(dbPath, { kind: "compact" });
}

async function ask<V>(dbPath: string, request: Parameters<typeof askFile>[1]): Promise<V> {
  assertId(dbPath, "dbPath");
  assertNodeVersion();
  return askFile<V>(dbPath, request);
}
