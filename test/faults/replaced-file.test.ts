import "../support/leak-guard.ts";
import { copyFileSync, existsSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { runRows, withDatabase } from "../support/database-file.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runToEnd,
  spokenIn,
  watch,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { answeringAgent, heldAgent, inputOf } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { terminate } from "../support/terminate.ts";
import { threadsStarted } from "../support/threads-started.ts";

const KILLED_RUN = `${import.meta.dirname}/../support/killed-run.child.ts`;

/** Deletes, moves or replaces the file or its WAL while a runner has it open. */
const WAYS: readonly (readonly [name: string, take: (dbPath: string) => void])[] = [
  ["the database is deleted", (dbPath) => rmSync(dbPath)],
  ["the WAL is deleted", (dbPath) => rmSync(`${dbPath}-wal`)],
  ["the database is moved", (dbPath) => renameSync(dbPath, `${dbPath}.old`)],
  ["the WAL is moved", (dbPath) => renameSync(`${dbPath}-wal`, `${dbPath}.old-wal`)],
  ["the WAL's index is deleted", (dbPath) => rmSync(`${dbPath}-shm`)],
  [
    "all files of the database are deleted",
    (dbPath) => {
      for (const end of ["", "-wal", "-shm"]) rmSync(dbPath + end);
    },
  ],
  [
    "a backup takes the database's place",
    (dbPath) => {
      withDatabase(dbPath, (db) => db.exec(`VACUUM INTO '${dbPath}.backup'`));
      renameSync(`${dbPath}.backup`, dbPath);
    },
  ],
  [
    "a backup is copied to where the database was",
    (dbPath) => {
      withDatabase(dbPath, (db) => db.exec(`VACUUM INTO '${dbPath}.copy'`));
      for (const end of ["", "-wal", "-shm"]) rmSync(dbPath + end);
      renameSync(`${dbPath}.copy`, `${dbPath}.backup`);
      copyFileSync(`${dbPath}.backup`, dbPath);
    },
  ],
  [
    "another copy of SQLite in this process opens the file and closes it",
    (dbPath) => {
      const other = new DatabaseSync(dbPath);
      other.exec("CREATE TABLE IF NOT EXISTS theirs (id INTEGER)");
      other.close();
    },
  ],
];

describe.each(WAYS)("when %s", (_name, take) => {
  test("runs end with PERSISTENCE_FAILED, new runs are refused, and every error says why", async () => {
    const dbPath = tempDatabase();
    const logger = collectingLogger();
    const runner = openRunner({ dbPath, logger });
    await runToEnd(runner, "t", "before", answeringAgent());
    const held = heldAgent();
    const run = watch(runner.run({ threadId: "held", agent: held, input: inputOf("held", "r") }));
    await held.halfway;
    take(dbPath);
    held.release();
    expect((await run.done).at(-1)).toMatchObject({
      type: "RUN_ERROR",
      code: "PERSISTENCE_FAILED",
      message: expect.stringContaining("was deleted, moved or replaced"),
    });
    for (const threadId of ["t", "another"]) {
      const refused = await runToEnd(runner, threadId, "after", answeringAgent());
      expect(refused).toMatchObject([{ type: "RUN_ERROR", code: "FILE_REPLACED" }]);
    }
    expect(await replayOf(runner, "t")).toMatchObject([{ code: "FILE_REPLACED" }]);
    await expect(runner.isRunning({ threadId: "t" })).rejects.toMatchObject({
      code: "FILE_REPLACED",
    });
    expect(runner.stats().lastError?.code).toBe("FILE_REPLACED");
    const told = logger.lines.filter(({ message }) => message === "the database file is lost");
    expect(told).toMatchObject([{ level: "error", fields: { code: "FILE_REPLACED", dbPath } }]);
    await expect(runner.ready()).rejects.toMatchObject({ code: "FILE_REPLACED" });
    await expect(runner.flush()).rejects.toMatchObject({ code: "PERSISTENCE_FAILED" });
    await expect(runner.close()).rejects.toMatchObject({ code: "CLOSE_INCOMPLETE" });
  });

  test("an idle runner notices with its next heartbeat, and ends the run that it holds", async () => {
    const dbPath = tempDatabase();
    const logger = collectingLogger();
    const runner = openRunner({ dbPath, logger, leaseMs: 300 });
    await runner.ready();
    const held = heldAgent();
    const run = watch(runner.run({ threadId: "t", agent: held, input: inputOf("t", "r") }));
    await held.halfway;
    await runner.flush();
    take(dbPath);
    // Its agent emits nothing more.
    const end = await run.until(({ type }) => type === "RUN_ERROR");
    expect(end).toMatchObject({ code: "PERSISTENCE_FAILED" });
    expect(held.aborts()).toBe(1);
  });

  test("flush and close notice without a run", async () => {
    const dbPath = tempDatabase();
    for (const ask of ["flush", "close"] as const) {
      const runner = openRunner({ dbPath });
      await runToEnd(runner, "t", ask, answeringAgent());
      take(dbPath);
      const code = ask === "flush" ? "FILE_REPLACED" : "CLOSE_INCOMPLETE";
      await expect(runner[ask]()).rejects.toMatchObject({
        code,
        message: expect.stringContaining("was deleted, moved or replaced"),
      });
      await runner.close().catch(() => undefined);
      for (const end of ["", "-wal", "-shm"]) rmSync(dbPath + end, { force: true });
    }
  });
});

describe("a file that has lost its name", () => {
  test("is not created again by the successor of a dead writer thread", async () => {
    const dbPath = tempDatabase();
    const threads = threadsStarted();
    const logger = collectingLogger();
    const runner = openRunner({ dbPath, logger });
    await runToEnd(runner, "t", "before", answeringAgent());
    rmSync(dbPath);
    await terminate(threads);
    const refused = await runToEnd(runner, "t", "after", answeringAgent());
    expect(refused).toMatchObject([{ type: "RUN_ERROR", code: "FILE_REPLACED" }]);
    expect(existsSync(dbPath)).toBe(false);
  });

  test("does not delete the WAL of the new file when its runner is closed", async () => {
    const dbPath = tempDatabase();
    const old = openRunner({ dbPath });
    await runToEnd(old, "t", "old", answeringAgent());
    for (const end of ["", "-wal", "-shm"]) rmSync(dbPath + end);
    const successor = openRunner({ dbPath });
    await runToEnd(successor, "t", "new", answeringAgent());
    await expect(old.close()).rejects.toMatchObject({ code: "CLOSE_INCOMPLETE" });
    expect(existsSync(`${dbPath}-wal`)).toBe(true);
    await runToEnd(successor, "t", "newer", answeringAgent());
    await successor.flush();
    // The files that a kill would leave at this moment.
    for (const end of ["", "-wal"]) copyFileSync(dbPath + end, `${dbPath}.left${end}`);
    expect(runRows(`${dbPath}.left`, "t").map(({ run_id }) => run_id)).toEqual(["new", "newer"]);
  });
});

test("the WAL of a killed process on the new file stays when the runner on the old file is closed", async () => {
  const dbPath = tempDatabase();
  const old = openRunner({ dbPath });
  await runToEnd(old, "t", "old", answeringAgent());
  for (const end of ["-wal", "-shm"]) rmSync(dbPath + end);
  const successor = spawnChild(process.execPath, [KILLED_RUN, dbPath, "t", "new"]);
  await nextLine(successor);
  await successor.kill();
  await expect(old.close()).rejects.toMatchObject({ code: "CLOSE_INCOMPLETE" });
  // It has every run that the other process stored.
  expect(existsSync(`${dbPath}-wal`)).toBe(true);
  const next = openRunner({ dbPath });
  expect(spokenIn(await replayOf(next, "t"))).toBe("one two three");
});

// What a runner does in the background soon after it was opened, and after a run, finds the loss as well.
test.each([0, 10, 50, 100, 200])(
  "a runner that only reads notices a file that was deleted %d ms after a run",
  async (ms) => {
    const dbPath = tempDatabase();
    const logger = collectingLogger();
    const runner = openRunner({ dbPath, logger, leaseMs: 1500 });
    await runToEnd(runner, "t", "r", answeringAgent());
    await delay(ms);
    for (const end of ["", "-wal", "-shm"]) rmSync(dbPath + end);
    const codeOf = (error: { code: unknown }) => error.code;
    const read = () => runner.isRunning({ threadId: "t" }).catch(codeOf);
    await eventually(async () => (await read()) === "FILE_REPLACED");
    expect(logger.lines.map(({ message }) => message)).toContain("the database file is lost");
  },
);

test("a symbolic link that is pointed to another file counts as a replaced file", async () => {
  const dbPath = tempDatabase();
  symlinkSync(`${dbPath}.a`, dbPath);
  const first = openRunner({ dbPath });
  await runToEnd(first, "t", "a", answeringAgent());
  rmSync(dbPath);
  copyFileSync(`${dbPath}.a`, `${dbPath}.b`);
  symlinkSync(`${dbPath}.b`, dbPath);
  await expect(first.flush()).rejects.toMatchObject({ code: "FILE_REPLACED" });
});
