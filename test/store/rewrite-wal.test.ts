import { readFileSync } from "node:fs";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { rewriteWal } from "../../workers/sqlite/database/rewrite-wal.ts";
import { tempDatabase } from "../support/temp-file.ts";

let path: string;
let db: Database.Database;

beforeEach(() => {
  path = tempDatabase();
  db = new Database(path, { timeout: 0 });
  db.pragma("journal_mode = WAL");
  db.exec("CREATE TABLE t (x)");
  const insert = db.prepare("INSERT INTO t VALUES (randomblob(500000))");
  for (let row = 0; row < 5; row++) insert.run();
});

afterEach(() => db.close());

describe("a WAL that is written again", () => {
  test("holds the same content, and accepts the next commits", () => {
    const before = readFileSync(`${path}-wal`);
    rewriteWal(db, `${path}-wal`);
    expect(readFileSync(`${path}-wal`).equals(before)).toBe(true);
    db.exec("INSERT INTO t VALUES (1)");
    expect(db.pragma("integrity_check", { simple: true })).toBe("ok");
    expect(db.prepare("SELECT count(*) FROM t").pluck().get()).toBe(6);
  });

  test("is not written while another process may change it", () => {
    const other = new Database(path, { timeout: 0 });
    try {
      other.exec("BEGIN IMMEDIATE");
      expect(() => rewriteWal(db, `${path}-wal`)).toThrow("database is locked");
      other.exec("ROLLBACK");
      rewriteWal(db, `${path}-wal`);
    } finally {
      other.close();
    }
  });
});
