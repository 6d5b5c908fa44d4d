import type { Database } from "better-sqlite3";
import type { Slices } from "./slices.ts";

/** What one statement gives back at most. The time is checked between statements. */
const STEP_BYTES = 64 * 1024;

/**
 * Milliseconds of a statement, after which the next one gives back half as much. SQLite looks for each page in the list
 * of free pages, which takes long while the list is long.
 */
const MAX_STEP_MS = 2;

/** Value of `PRAGMA auto_vacuum` for files that can give free pages back step by step. */
const INCREMENTAL = 2;

/** Whether the file was made so that it can give free pages back. */
export function isGivenBack(db: Database): boolean {
  return db.pragma("auto_vacuum", { simple: true }) === INCREMENTAL;
}

/**
 * Makes the file smaller by its free pages, if it was made for that. Older files were not: their free pages
 * are used again, and only a VACUUM makes them smaller.
 */
export async function giveSpaceBack(
  db: Database,
  slices: Slices,
  isEnded: () => boolean,
): Promise<void> {
  if (!isGivenBack(db)) return;
  const most = STEP_BYTES / Number(db.pragma("page_size", { simple: true }));
  let pages = most;
  await slices.until((isOver) => {
    while (!isEnded() && Number(db.pragma("freelist_count", { simple: true })) > 0) {
      if (isOver()) return false;
      const startedAt = performance.now();
      db.pragma(`incremental_vacuum(${pages})`);
      const isSlow = performance.now() - startedAt > MAX_STEP_MS;
      pages = isSlow ? Math.max(1, Math.floor(pages / 2)) : Math.min(most, 2 * pages);
    }
    return true;
  });
  // The file itself gets smaller when the WAL is moved into it.
  await slices.moveWal();
}
