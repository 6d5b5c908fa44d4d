import "../support/leak-guard.ts";
import { copyFileSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import Database from "better-sqlite3";
import { describe, expect, onTestFinished, test } from "vitest";
import type { SqliteAgentRunner } from "../../src/index.ts";
import { RunStoreError } from "../../src/protocol/errors.ts";
import { Checkpointer } from "../../src/store/sqlite/checkpointer.ts";
import { CheckpointRequests, Checkpoints } from "../../workers/sqlite/removal/checkpoints.ts";
import { emptyWal, valueIn, withDatabase } from "../support/database-file.ts";
import { enlargeThread } from "../support/large-thread.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import {
  answeringAgent,
  finished,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { tinyDisk } from "../support/tiny-disk.ts";

const PAGE_BYTES = 4096;

/** Runs whose removal fills the WAL several times. */
const RUNS = 10_000;

const longAnswer = scriptedAgent(function* ({ input }) {
  yield started(input);
  yield* text(`answer-${input.runId}`, "x".repeat(5 * PAGE_BYTES));
  yield finished(input);
});

/** Adds the thread "t", whose removal is long work, and the thread "kept". */
async function fill(runner: SqliteAgentRunner, dbPath: string): Promise<void> {
  await runToEnd(runner, "t", "r1", longAnswer);
  await runToEnd(runner, "kept", "r1", answeringAgent());
  enlargeThread(dbPath, "t", RUNS);
}

const rowsOf = (dbPath: string) =>
  valueIn(dbPath, "SELECT count(*) FROM agent_runs WHERE thread_id = 't'") as number;

async function expectWhole(runner: SqliteAgentRunner, dbPath: string): Promise<void> {
  expect(withDatabase(dbPath, (db) => db.pragma("integrity_check", { simple: true }))).toBe("ok");
  expect(runIdsIn(await replayOf(runner, "kept"))).toEqual(["r1"]);
}

describe("long work", () => {
  test("does not let the WAL grow, while runs go on", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await fill(runner, dbPath);
    // What is above has filled the WAL.
    await emptyWal(dbPath);
    const sizeBefore = statSync(dbPath).size;
    let isPurged = false;
    const purged = runner.purge({ maxRunsPerThread: 1 }).finally(() => {
      isPurged = true;
    });
    for (let run = 0; !isPurged; run++) {
      await runToEnd(runner, `beside-${run}`, `beside-${run}`, answeringAgent());
      // What these runs store must stay small beside what is removed.
      await delay(10);
    }
    expect(await purged).toMatchObject({ runs: RUNS });
    expect(statSync(dbPath).size).toBeLessThan(sizeBefore / 5);
    // Without its checkpoints, SQLite's own would come at 8000 pages.
    expect(statSync(`${dbPath}-wal`).size).toBeLessThan(7800 * PAGE_BYTES);
    await expectWhole(runner, dbPath);
  });

  test("that kill -9 ends harms nothing, and another process does it to the end", async () => {
    // On a busy machine, all of it may be deleted before the process is killed.
    for (let isCutOff = false; !isCutOff; ) {
      const dbPath = tempDatabase();
      const child = await RunnerProcess.open({ dbPath });
      const runner = openRunner({ dbPath });
      await fill(runner, dbPath);
      const deleted = child.threads("delete", "t").then(
        () => false,
        () => true,
      );
      await eventually(() => rowsOf(dbPath) < RUNS / 2);
      await child.kill();
      isCutOff = await deleted;
      await eventually(() => rowsOf(dbPath) === 0);
      await expectWhole(runner, dbPath);
    }
  });

  test("that close ends harms nothing, and can be done by the next runner", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await fill(runner, dbPath);
    const purged = runner.purge({ maxRunsPerThread: 1 }).catch((error: unknown) => error);
    await eventually(() => rowsOf(dbPath) < RUNS);
    await runner.close();
    expect(await purged).toMatchObject({ code: "RUNNER_CLOSED" });
    const next = openRunner({ dbPath });
    await expectWhole(next, dbPath);
    await next.purge({ maxRunsPerThread: 1 });
    expect(rowsOf(dbPath)).toBe(1);
    await expectWhole(next, dbPath);
  });
});

describe("a checkpoint of the writer", () => {
  /** The writer's checkpoints, where the other thread can make none. */
  function checkpointsOf(db: Database.Database): Checkpoints {
    const requests = new CheckpointRequests(() => setImmediate(() => requests.answer(false)));
    return new Checkpoints(db, requests);
  }

  test("that fails does not fail the work, which the WAL holds", async ({ skip }) => {
    const disk = tinyDisk(skip);
    const db = new Database(join(disk.path, "t.db"));
    onTestFinished(() => void db.close());
    db.pragma("journal_mode = WAL");
    db.pragma("wal_autocheckpoint = 0");
    db.exec("CREATE TABLE t (x)");
    db.exec("INSERT INTO t VALUES (zeroblob(500000))");
    // The WAL gets longer than the database, and keeps its length.
    for (let at = 0; at < 6; at++) db.exec("UPDATE t SET x = randomblob(500000)");
    db.pragma("wal_checkpoint(PASSIVE)");
    disk.fill();
    db.exec("INSERT INTO t VALUES (zeroblob(2000000))");
    expect(() => db.pragma("wal_checkpoint(PASSIVE)")).toThrow(/full/);

    await checkpointsOf(db).ifDue(() => undefined);
    await checkpointsOf(db).now(() => undefined);
    expect(db.prepare("SELECT sum(length(x)) FROM t").pluck().get()).toBe(2_500_000);
    disk.clear();
    expect(db.pragma("wal_checkpoint(PASSIVE)")).toMatchObject([{ busy: 0 }]);
  });

  test("of a file that is closed by then is not tried: the work ends as closed", async () => {
    const db = new Database(tempDatabase());
    db.pragma("journal_mode = WAL");
    db.close();
    const closed = () => {
      throw new RunStoreError("RUNNER_CLOSED", "the runner was closed");
    };
    const refused = { code: "RUNNER_CLOSED" };
    await expect(checkpointsOf(db).ifDue(closed)).rejects.toMatchObject(refused);
    await expect(checkpointsOf(db).now(closed)).rejects.toMatchObject(refused);
  });
});

describe("the checkpointer", () => {
  /** A file with some pages in its WAL, and a checkpointer of it. */
  function opened(durability: ConstructorParameters<typeof Checkpointer>[0]["durability"] = null) {
    const dbPath = tempDatabase();
    const db = new Database(dbPath);
    onTestFinished(() => void db.close());
    db.pragma("journal_mode = WAL");
    db.exec("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000))");
    const file = {
      dev: statSync(dbPath, { bigint: true }).dev,
      ino: statSync(dbPath, { bigint: true }).ino,
    };
    const ids = { instanceId: "test", leaseMs: 1000, interruptedNote: false as const };
    const config = () => ({ dbPath, file, ...ids });
    const logger = collectingLogger();
    const checkpointer = new Checkpointer({ config, durability, logger });
    onTestFinished(() => checkpointer.end());
    const left = () => {
      const [{ log, checkpointed } = { log: 0, checkpointed: 0 }] = db.pragma(
        "wal_checkpoint(NOOP)",
      ) as { log: number; checkpointed: number }[];
      return log - checkpointed;
    };
    return { dbPath, db, checkpointer, left };
  }

  test("moves the WAL into the database", async () => {
    const { checkpointer, left } = opened();
    expect(left()).toBeGreaterThan(20);
    expect(await checkpointer.checkpoint()).toBe(true);
    expect(left()).toBe(0);
  });

  test("moves nothing before the WAL is synced, and has it written anew after a failure", async () => {
    const synced = Promise.withResolvers<void>();
    const calls: string[] = [];
    const durability = {
      sync: () => {
        calls.push("sync");
        return synced.promise;
      },
      noteCommit: () => void calls.push("noteCommit"),
      distrust: () => void calls.push("distrust"),
    };
    const { checkpointer, left } = opened(durability);
    const before = left();
    const made = checkpointer.checkpoint();
    await eventually(() => calls.includes("sync"));
    expect(left()).toBe(before);
    synced.reject(new Error("the disk"));
    expect(await made).toBe(false);
    expect(left()).toBe(before);
    expect(calls).toEqual(["noteCommit", "sync", "distrust"]);
  });

  test("leaves a file alone that has taken the name of its own", async () => {
    const { dbPath, checkpointer } = opened();
    expect(await checkpointer.checkpoint()).toBe(true);
    const files = [dbPath, `${dbPath}-wal`];
    for (const path of files) {
      renameSync(path, `${path}.old`);
      copyFileSync(`${path}.old`, path);
    }
    const before = files.map((path) => readFileSync(path));
    expect(await checkpointer.checkpoint()).toBe(false);
    await checkpointer.end();
    expect(
      files.map((path) => readFileSync(path).equals(before[files.indexOf(path)] as Buffer)),
    ).toEqual([true, true]);
  });

  test("makes none after its end", async () => {
    const { checkpointer, left } = opened();
    const before = left();
    await checkpointer.end();
    expect(await checkpointer.checkpoint()).toBe(false);
    expect(left()).toBe(before);
  });
});
