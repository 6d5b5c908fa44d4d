import type { Database } from "better-sqlite3";
import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { DatabaseFacts } from "../../../src/protocol/file-messages.ts";
import { inspectSchema, SCHEMA_VERSION } from "../database/schema.ts";

export function inspect(db: Database): DatabaseFacts {
  const pragma = (name: string) => Number(db.pragma(name, { simple: true }));
  const pageBytes = pragma("page_size");
  const schemaVersion = inspectSchema(db);
  return {
    schemaVersion,
    currentVersion: SCHEMA_VERSION,
    bytes: pragma("page_count") * pageBytes,
    freeBytes: pragma("freelist_count") * pageBytes,
    // 2 is INCREMENTAL. https://www.sqlite.org/pragma.html#pragma_auto_vacuum
    shrinks: pragma("auto_vacuum") === 2,
    instances: schemaVersion < 2 ? 0 : instancesIn(db),
  };
}

function instancesIn(db: Database): number {
  const count = db.prepare<[], number>("SELECT count(*) FROM runner_instances").pluck();
  return count.get() ?? 0;
}

/**
 * Rewrites the file with `auto_vacuum`. That needs a file out of WAL mode, and leaving WAL mode fails while
 * another connection is open: so nobody has the file open meanwhile.
 *
 * @throws {RunStoreError} `BUSY`
 */
export function compact(db: Database): DatabaseFacts {
  db.pragma("busy_timeout = 1000");
  try {
    db.pragma("journal_mode = DELETE");
    db.pragma("locking_mode = EXCLUSIVE");
    db.exec("BEGIN EXCLUSIVE; COMMIT");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "SQLITE_BUSY")) throw error;
    throw new RunStoreError(
      "BUSY",
      "another program has the database open: stop all servers on it, then try again",
    );
  }
  db.pragma("auto_vacuum = INCREMENTAL");
  db.exec("VACUUM");
  db.pragma("locking_mode = NORMAL");
  db.pragma("journal_mode = WAL");
  return inspect(db);
}
