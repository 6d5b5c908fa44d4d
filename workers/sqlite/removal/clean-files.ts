import { setTimeout as delay } from "node:timers/promises";
import type { Database } from "better-sqlite3";
import { toFault } from "../database/fault.ts";
import type { Slices } from "./slices.ts";
import { giveSpaceBack, isGivenBack } from "./space.ts";

/** How long others may keep the WAL from being emptied, or the file from being rewritten, in milliseconds. */
const MAX_WAIT_MS = 10_000;

/** Milliseconds between two tries. */
const RETRY_MS = 50;

/** Pages of the search index that one statement merges. */
const MERGED_PAGES = 32;

/** Bytes of zeros in one row. */
const FILL_BYTES = 64 * 1024;

/** Words of deleted rows stay in the search index until its parts are merged. */
export async function mergeSearchIndex(db: Database, slices: Slices): Promise<void> {
  const merge = db.prepare<[number]>(
    "INSERT INTO thread_search (thread_search, rank) VALUES ('merge', ?)",
  );
  const changes = db.prepare<[], number>("SELECT total_changes()").pluck();
  let pages = -MERGED_PAGES;
  await slices.until((isOver) => {
    do {
      const before = changes.get() ?? 0;
      merge.run(pages);
      pages = MERGED_PAGES;
      // https://www.sqlite.org/fts5.html#the_merge_command
      if ((changes.get() ?? 0) - before < 2) return true;
    } while (!isOver());
    return false;
  });
}

/**
 * Overwrites the free pages of the file. They hold what was deleted from them earlier.
 *
 * A file that can give pages back gets smaller by them: other pages take their places. In another file, they
 * are filled with zeros.
 */
export async function overwriteFreePages(db: Database, slices: Slices): Promise<void> {
  if (isGivenBack(db)) {
    await giveSpaceBack(db, slices, () => false);
    return;
  }
  // Another process may do the same, and drop the table at any time: each slice makes it anew if it is gone.
  const inTable = (sql: string) => {
    db.exec("CREATE TABLE IF NOT EXISTS erase_fill (zeros BLOB)");
    return db.prepare<unknown[]>(sql);
  };
  await slices.until((isOver) => {
    const fill = inTable("INSERT INTO erase_fill (zeros) VALUES (zeroblob(?))");
    const pageSize = Number(db.pragma("page_size", { simple: true }));
    while (Number(db.pragma("freelist_count", { simple: true })) > FILL_BYTES / pageSize + 8) {
      if (isOver()) return false;
      fill.run(FILL_BYTES);
    }
    while (Number(db.pragma("freelist_count", { simple: true })) > 0) fill.run(pageSize);
    return true;
  });
  await slices.until((isOver) => {
    const empty = inTable(
      "DELETE FROM erase_fill WHERE rowid IN (SELECT rowid FROM erase_fill LIMIT 4)",
    );
    while (empty.run().changes > 0) if (isOver()) return false;
    db.exec("DROP TABLE erase_fill");
    return true;
  });
}

/**
 * Empties the WAL, in which older versions of pages are. Returns false when a reader has not let go of it
 * within some time.
 *
 * The lock is never waited for within SQLite: meanwhile no process could write.
 */
export async function emptyWal(db: Database): Promise<boolean> {
  const giveUpAt = performance.now() + MAX_WAIT_MS;
  for (;;) {
    if (tryToEmpty(db)) return true;
    if (performance.now() > giveUpAt) return false;
    await delay(RETRY_MS);
  }
}

function tryToEmpty(db: Database): boolean {
  // Without waiting for readers, as much as can be written is written.
  db.pragma("wal_checkpoint(PASSIVE)");
  const timeoutMs = db.pragma("busy_timeout", { simple: true });
  db.pragma("busy_timeout = 0");
  try {
    const [result] = db.pragma("wal_checkpoint(TRUNCATE)") as { readonly busy: number }[];
    return result?.busy === 0;
  } catch (error) {
    if (toFault(error).code === "BUSY") return false;
    throw error;
  } finally {
    db.pragma(`busy_timeout = ${timeoutMs}`);
  }
}

/** Writes the whole file anew. Resolves with false when other processes do not let this one within some time. */
export async function rewriteFile(db: Database): Promise<boolean> {
  const giveUpAt = performance.now() + MAX_WAIT_MS;
  for (;;) {
    try {
      db.exec("VACUUM");
      return true;
    } catch (error) {
      if (toFault(error).code !== "BUSY") throw error;
    }
    if (performance.now() > giveUpAt) return false;
    await delay(RETRY_MS);
  }
}
