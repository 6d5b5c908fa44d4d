import Database from "better-sqlite3";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CheckpointRequests, Checkpoints } from "../../workers/sqlite/removal/checkpoints.ts";
import { tempDatabase } from "../support/temp-file.ts";

let db: Database.Database;
let other: Database.Database;
/** What is done when another thread is asked for a checkpoint. */
let onAsked: () => void;
let checkpoints: Checkpoints;
let requests: CheckpointRequests;

const open = () => {};

beforeEach(() => {
  const path = tempDatabase();
  db = new Database(path);
  db.pragma("journal_mode = WAL");
  db.pragma("wal_autocheckpoint = 0");
  db.exec("CREATE TABLE t (x)");
  other = new Database(path);
  onAsked = () => expect.fail("nobody is to be asked");
  requests = new CheckpointRequests(() => onAsked());
  checkpoints = new Checkpoints(db, requests);
});

afterEach(() => {
  other.close();
  db.close();
});

function write(pages: number): void {
  db.prepare("INSERT INTO t VALUES (zeroblob(?))").run(pages * 4096);
}

/** Pages in the WAL, and how many of them are not in the database. */
function wal(): { readonly all: number; readonly left: number } {
  const [{ log, checkpointed } = { log: 0, checkpointed: 0 }] = db.pragma(
    "wal_checkpoint(NOOP)",
  ) as { log: number; checkpointed: number }[];
  return { all: log, left: log - checkpointed };
}

function moveElsewhere(): void {
  other.pragma("wal_checkpoint(PASSIVE)");
}

test("nobody is asked for a checkpoint of a few pages", async () => {
  write(100);
  await checkpoints.ifDue(open);
  expect(wal().left).toBeGreaterThan(100);
});

test("another thread moves the pages of the WAL, and batches that are written meanwhile stay there", async () => {
  write(1500);
  onAsked = () => {
    moveElsewhere();
    write(10);
    requests.answer(true);
  };
  await checkpoints.ifDue(open);
  expect(wal().left).toBeGreaterThan(0);
  expect(wal().left).toBeLessThan(20);
});

test("the writer moves the last pages of a large WAL, which then begins anew", async () => {
  write(7000);
  onAsked = () => {
    // A commit during a checkpoint stays in the WAL: here a reader keeps the checkpoint from moving it.
    other.exec("BEGIN");
    other.prepare("SELECT count(*) FROM t").get();
    write(10);
    db.pragma("wal_checkpoint(PASSIVE)");
    other.exec("COMMIT");
    requests.answer(true);
  };
  await checkpoints.ifDue(open);
  expect(wal().left).toBe(0);
  write(1);
  expect(wal().all).toBeLessThan(20);
});

test("the writer moves all pages when no other thread does", async () => {
  write(1500);
  onAsked = () => requests.answer(false);
  await checkpoints.ifDue(open);
  expect(wal().left).toBe(0);
});

test("work that waits for a checkpoint ends when the file is closed meanwhile", async () => {
  write(1500);
  onAsked = () => requests.answer(true);
  const closed = () => {
    throw new Error("closed");
  };
  await expect(checkpoints.ifDue(closed)).rejects.toThrow("closed");
});

test("two works that wait share a checkpoint", async () => {
  write(1500);
  let asked = 0;
  onAsked = () => void asked++;
  const both = Promise.all([checkpoints.ifDue(open), checkpoints.ifDue(open)]);
  moveElsewhere();
  requests.answer(true);
  await both;
  expect(asked).toBe(1);
});
