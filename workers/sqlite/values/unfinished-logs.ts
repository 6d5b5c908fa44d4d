import type { UnfinishedLogStatements } from "./statements.ts";

/** Rows that one call deletes: each has up to some megabytes. */
const ROWS = 8;

/**
 * Deletes a piece of the logs with parts of runs that were never stored with them: see `PartLog`. Returns whether
 * there may be more. Must be one transaction.
 */
export function sweepUnfinishedLogs(statements: UnfinishedLogStatements): boolean {
  const log = statements.unfinishedLog.get();
  if (log === undefined) return false;
  if (statements.deletePartsOfLog.run(log, ROWS).changes === ROWS) return true;
  statements.deleteLog.run(log);
  return true;
}
