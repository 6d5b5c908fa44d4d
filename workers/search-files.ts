// `node search-files.js`, with a `FileSearch` as JSON on stdin. Prints a `FileSearchResult` as JSON.
//
// This is a process of its own, because it opens the database file: a process that closes a descriptor of a
// file loses all locks that it has on the file, and with them those of its SQLite.
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { text } from "node:stream/consumers";
import { loadDriver } from "./sqlite/database/driver.ts";
import { ByteSearch, NEEDLE_BYTES } from "./sqlite/removal/byte-search.ts";
import type { FileSearch, FileSearchResult } from "./sqlite/removal/file-search.ts";

const CHUNK_BYTES = 1024 * 1024;

/** The files of a database that have content. A missing file has none. */
const SUFFIXES = ["", "-wal", "-shm", "-journal"];

function searchFile(path: string, search: ByteSearch, found: Set<string>): void {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    // The end of a chunk is searched again with the next one: a needle may lie across the border.
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES + NEEDLE_BYTES);
    let carried = 0;
    for (;;) {
      const read = readSync(fd, buffer, carried, CHUNK_BYTES, null);
      if (read === 0) return;
      const length = carried + read;
      search.search(buffer.subarray(0, length), found);
      carried = Math.min(length, NEEDLE_BYTES - 1);
      buffer.copyWithin(0, length - carried, length);
    }
  } finally {
    closeSync(fd);
  }
}

/** Which of `needles` are in a row of a table: another thread has the same text. */
function searchRows(path: string, needles: ReadonlySet<string>): Set<string> {
  const found = new Set<string>();
  const search = new ByteSearch(needles);
  const db = new (loadDriver())(path, { readonly: true, fileMustExist: true, timeout: 5000 });
  try {
    const tables = db
      .prepare<[], string>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'",
      )
      .pluck()
      .all();
    for (const table of tables) {
      const rows = db
        .prepare<[], unknown[]>(`SELECT * FROM "${table.replaceAll('"', '""')}"`)
        .raw();
      for (const row of rows.iterate()) {
        for (const value of row) {
          if (typeof value === "string") search.search(Buffer.from(value, "utf8"), found);
          else if (value instanceof Uint8Array) search.search(Buffer.from(value), found);
        }
      }
    }
  } finally {
    db.close();
  }
  return found;
}

const { path, needles } = JSON.parse(await text(process.stdin)) as FileSearch;
const inFiles = new Set<string>();
const search = new ByteSearch(needles);
for (const suffix of SUFFIXES) searchFile(path + suffix, search, inFiles);
const inRows = inFiles.size === 0 ? new Set<string>() : searchRows(path, inFiles);
const result: FileSearchResult = {
  searched: needles.length - inRows.size,
  left: [...inFiles].filter((needle) => !inRows.has(needle)).length,
};
writeSync(1, JSON.stringify(result));
