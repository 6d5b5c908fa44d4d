import "../support/leak-guard.ts";
import { createHash } from "node:crypto";
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test } from "vitest";
import { SCHEMA_VERSION } from "../../workers/sqlite/database/schema.ts";
import { withDatabase } from "../support/database-file.ts";
import { openRunner, replayOf, runToEnd } from "../support/open-runner.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase, tempDirectory } from "../support/temp-file.ts";

type Files = Readonly<Record<string, string>>;

/** Every file beside the database, with a digest of its bytes. */
function filesBeside(dbPath: string): Files {
  const directory = dirname(dbPath);
  const contents = readdirSync(directory).map((name) => [
    name,
    createHash("sha256")
      .update(readFileSync(join(directory, name)))
      .digest("hex"),
  ]);
  return Object.fromEntries(contents) as Files;
}

/** Tries all methods that read or write, on a file that has to be refused. */
async function expectRefused(dbPath: string, code: string): Promise<void> {
  const before = filesBeside(dbPath);
  const runner = openRunner({ dbPath });
  const agent = answeringAgent();
  const refusal = [{ type: "RUN_ERROR", code, message: expect.any(String) }];
  expect(await runToEnd(runner, "thread", "run", agent)).toEqual(refusal);
  expect(await replayOf(runner, "thread")).toEqual(refusal);
  await expect(runner.isRunning({ threadId: "thread" })).rejects.toMatchObject({ code });
  expect(agent.inputs).toEqual([]);
  await runner.close();
  expect(filesBeside(dbPath)).toEqual(before);
}

/** A file of this release with a run, marked with a newer schema version. */
async function newerFile(): Promise<string> {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await runToEnd(runner, "thread", "old-run", answeringAgent());
  await runner.close();
  withDatabase(dbPath, (db) => {
    db.exec("CREATE TABLE from_the_future (id INTEGER PRIMARY KEY)");
    db.exec(`INSERT INTO schema_version (version, applied_at) VALUES (${SCHEMA_VERSION + 1}, 1)`);
  });
  return dbPath;
}

describe("a file that the runner must not write is refused, and not changed", () => {
  test("a file of a newer version: SCHEMA_TOO_NEW", async () => {
    await expectRefused(await newerFile(), "SCHEMA_TOO_NEW");
  });

  test.each(["delete", "wal"])(
    "a file of another application, journal_mode %s: FOREIGN_FILE",
    async (mode) => {
      const dbPath = tempDatabase();
      const db = new Database(dbPath);
      db.pragma(`journal_mode = ${mode}`);
      db.exec("CREATE TABLE customers (name TEXT); INSERT INTO customers VALUES ('Ada')");
      db.close();
      await expectRefused(dbPath, "FOREIGN_FILE");
    },
  );

  test("a file of another application with a table of the same name: FOREIGN_FILE", async () => {
    const dbPath = tempDatabase();
    const db = new Database(dbPath);
    db.exec("CREATE TABLE agent_runs (id INTEGER PRIMARY KEY, agent TEXT, mileage INTEGER)");
    db.close();
    await expectRefused(dbPath, "FOREIGN_FILE");
  });

  test.each([
    ["text", "This is some text, and no database at all.\n".repeat(100)],
    ["a few bytes", "no database"],
    ["the head of a database and nothing else", "SQLite format 3\0".padEnd(4096, "x")],
  ])("%s: NOT_A_DATABASE", async (_name, content) => {
    const dbPath = tempDatabase();
    writeFileSync(dbPath, content);
    await expectRefused(dbPath, "NOT_A_DATABASE");
  });

  test("a file of a newer version whose process died, with a WAL that was never checkpointed", async () => {
    const original = await newerFile();
    const db = new Database(original);
    onTestFinished(() => void db.close());
    db.pragma("wal_autocheckpoint = 0");
    db.exec("INSERT INTO from_the_future VALUES (1)");
    const directory = join(tempDirectory(), "copy");
    // The files as after a crash: the WAL has commits that the file does not have.
    cpSync(dirname(original), directory, { recursive: true });
    const dbPath = join(directory, "threads.db");
    const { "threads.db-shm": _, ...before } = filesBeside(dbPath);
    expect(Object.keys(before)).toEqual(["threads.db", "threads.db-wal"]);
    const runner = openRunner({ dbPath });
    expect(await replayOf(runner, "thread")).toMatchObject([{ code: "SCHEMA_TOO_NEW" }]);
    await runner.close();
    // Every process that opens the WAL makes its index again. The index holds no data of its own.
    const { "threads.db-shm": __, ...after } = filesBeside(dbPath);
    expect(after).toEqual(before);
  });
});
