import "../support/leak-guard.ts";
import type * as Fs from "node:fs";
import { copyFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import Database from "better-sqlite3";
import { afterEach, describe, expect, test, vi } from "vitest";
import { RunStoreError } from "../../src/protocol/errors.ts";
import { WalSync } from "../../src/store/sqlite/wal-sync.ts";
import { valueIn } from "../support/database-file.ts";
import { collectingLogger, openRunner, replayOf, runToEnd, watch } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { answeringAgent, inputOf } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { terminate } from "../support/terminate.ts";
import { threadsStarted } from "../support/threads-started.ts";

type Done = (error: NodeJS.ErrnoException | null) => void;

/** The behaviour of the disk in the next syncs. Further syncs succeed. */
const disk = vi.hoisted(() => ({
  /**
   * Null: the sync is done. A code: it fails with that code. A promise: it is done when the promise
   * resolves.
   */
  plan: [] as (string | Promise<void> | null)[],
  always: null as string | null,
  syncs: 0,
  /** Called before each sync that is done. The returned function is called after it. */
  observe: null as (() => () => void) | null,
}));

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof Fs>();
  const fdatasync = (fd: number, done: Done) => {
    disk.syncs++;
    const next = disk.plan.shift() ?? disk.always;
    if (typeof next === "string") done(Object.assign(new Error(next), { code: next }));
    else void Promise.resolve(next).then(() => sync(fd, done));
  };
  const sync = (fd: number, done: Done) => {
    const after = disk.observe?.();
    fs.fdatasync(fd, (error) => {
      after?.();
      done(error);
    });
  };
  return { ...fs, fdatasync };
});

// The tests of this file are about the syncs of the main thread: the writer leaves all of them to it.
vi.mock("../../src/store/sqlite/writer-syncs.ts", () => ({ isSyncedByWriter: () => false }));

afterEach(() => {
  disk.plan = [];
  disk.always = null;
  disk.syncs = 0;
  disk.observe = null;
});

const storedRuns = (dbPath: string) => valueIn(dbPath, "SELECT count(*) FROM agent_runs");

describe("a run's stream", () => {
  test("completes only when its commit is synced; the next run does not wait for that", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runner.ready();
    const { promise: synced, resolve } = Promise.withResolvers<void>();
    disk.plan = [synced];
    let completed = false;
    const first = runToEnd(runner, "t", "first", answeringAgent()).then(() => {
      completed = true;
    });
    await eventually(() => storedRuns(dbPath) === 1);
    const agent = answeringAgent();
    const second = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "second") }));
    await second.until(({ type }) => type === "RUN_FINISHED");
    await eventually(() => storedRuns(dbPath) === 2);
    expect(completed).toBe(false);
    resolve();
    await Promise.all([first, second.done]);
    // Commits during the first sync got a second sync.
    expect(disk.syncs).toBe(2);
  });

  test("completes when a power loss would leave its run on the disk", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runner.ready();
    let snapshots = 0;
    let survives = 0;
    // The part of the WAL that existed when the last finished sync began. There is no checkpoint in
    // between.
    disk.observe = () => {
      const snapshot = ++snapshots;
      for (const end of ["", "-wal"]) copyFileSync(dbPath + end, `${dbPath}.${snapshot}${end}`);
      return () => {
        survives = snapshot;
      };
    };
    const left = new Map<string, number>();
    const converse = async (threadId: string) => {
      for (let turn = 0; turn < 8; turn++) {
        const runId = `${threadId}-${turn}`;
        await runToEnd(runner, threadId, runId, answeringAgent());
        left.set(runId, survives);
      }
    };
    await Promise.all(Array.from({ length: 10 }, (_, at) => converse(`thread-${at}`)));
    expect(left.size).toBe(80);
    // Each turn of a thread needs a sync of its own.
    expect(survives).toBeGreaterThan(5);
    for (const [runId, snapshot] of left) {
      const stored = "SELECT count(*) FROM agent_runs WHERE run_id = ?";
      expect(valueIn(`${dbPath}.${snapshot}`, stored, runId), runId).toBe(1);
    }
  });

  test("shares a sync with many other commits", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runner.ready();
    const runs = Array.from({ length: 60 }, (_, at) =>
      runToEnd(runner, `thread-${at}`, `run-${at}`, answeringAgent()),
    );
    await Promise.all(runs);
    expect(disk.syncs).toBeGreaterThan(0);
    expect(disk.syncs).toBeLessThan(20);
  });

  test("waits for no sync with durability normal, or in memory", async () => {
    for (const options of [
      { dbPath: tempDatabase(), durability: "normal" },
      { dbPath: ":memory:" },
    ] as const) {
      const runner = openRunner(options);
      await runToEnd(runner, "t", "r", answeringAgent());
      await runner.close();
    }
    expect(disk.syncs).toBe(0);
  });

  test("flush and close wait for it too", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (const [at, call] of (["flush", "close"] as const).entries()) {
      const { promise: synced, resolve } = Promise.withResolvers<void>();
      disk.plan = [synced];
      const run = runToEnd(runner, "t", `run-${at}`, answeringAgent());
      await eventually(() => disk.syncs === at + 1);
      let isOver = false;
      const waiting = Promise.race([runner[call](), run]).then(() => {
        isOver = true;
      });
      // By the time that another runner has opened and answered, this one would have answered, too.
      expect(await replayOf(openRunner({ dbPath: ":memory:" }), "t")).toEqual([]);
      expect(isOver).toBe(false);
      resolve();
      await Promise.all([waiting, run]);
    }
  });
});

test("a WAL that is deleted while it is synced acknowledges nothing", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await runner.ready();
  const { promise: synced, resolve } = Promise.withResolvers<void>();
  disk.plan = [synced];
  const run = runToEnd(runner, "t", "r", answeringAgent());
  await eventually(() => disk.syncs === 1);
  rmSync(`${dbPath}-wal`);
  resolve();
  expect((await run).at(-1)).toMatchObject({ type: "RUN_ERROR", code: "PERSISTENCE_FAILED" });
  expect(runner.stats().lastError?.code).toBe("FILE_REPLACED");
});

describe("a sync that fails", () => {
  test.each(["EIO", "ENOSPC"])(
    "with %s is repaired by writing the WAL again, and the run completes",
    async (code) => {
      const dbPath = tempDatabase();
      const logger = collectingLogger();
      const runner = openRunner({ dbPath, logger });
      disk.plan = [code];
      const events = await runToEnd(runner, "t", "r", answeringAgent());
      expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
      // The kernel may mark pages that it could not write as clean. They are written again, and synced.
      expect(disk.syncs).toBe(2);
      const expected = code === "ENOSPC" ? "DISK_FULL" : "IO_ERROR";
      expect(logger.lines).toMatchObject([
        {
          level: "error",
          fields: { code: expected },
          message: /syncing the WAL to the disk failed/,
        },
      ]);
      expect(runner.stats().lastError?.code).toBe(expected);
      await runToEnd(runner, "t", "next", answeringAgent());
      expect(disk.syncs).toBe(3);
    },
  );

  test("has the WAL written again before the next sync, and so has a WAL that was just opened", async () => {
    const walPath = `${tempDatabase()}-wal`;
    writeFileSync(walPath, "");
    const steps: string[] = [];
    const files = { walPath, wal: statSync(walPath, { bigint: true }) };
    const sync = new WalSync({
      wal: async () => files,
      rewrite: async () => void steps.push("rewrite"),
      onTrouble: ({ code }) => void steps.push(code),
    });
    disk.observe = () => () => void steps.push("sync");
    // A sync of another process may have failed before: this descriptor does not report that.
    await sync.prepare(files);
    expect(steps).toEqual(["rewrite"]);
    await sync.sync(() => {});
    expect(steps).toEqual(["rewrite", "sync"]);
    disk.plan = ["EIO"];
    sync.noteCommit(null, 1);
    await sync.sync(() => {});
    expect(steps.slice(2)).toEqual(["IO_ERROR", "rewrite", "sync"]);
    await sync.end(new RunStoreError("RUNNER_CLOSED", "closed"));
  });

  test("is repaired beside a long reader", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "first", answeringAgent());
    const reader = new Database(dbPath, { readonly: true });
    try {
      reader.exec("BEGIN");
      expect(reader.prepare("SELECT count(*) FROM agent_runs").pluck().get()).toBe(1);
      disk.plan = ["EIO"];
      const events = await runToEnd(runner, "t", "second", answeringAgent());
      expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    } finally {
      reader.close();
    }
  });

  test("for 5 s is reported to the stream, and is tried again until close", async () => {
    const walPath = `${tempDatabase()}-wal`;
    writeFileSync(walPath, "");
    vi.useFakeTimers({ toFake: ["performance"] });
    try {
      let isBroken = true;
      const reports: string[] = [];
      const sync = new WalSync({
        wal: async () => ({ walPath, wal: statSync(walPath, { bigint: true }) }),
        rewrite: async () => {
          vi.advanceTimersByTime(3000);
          if (isBroken) throw new Error("no");
        },
        onTrouble: ({ code }) => void reports.push(code),
      });
      disk.always = "EIO";
      let stalled = 0;
      const done = sync.sync(({ code }) => {
        expect(code).toBe("IO_ERROR");
        stalled++;
      });
      await eventually(() => stalled > 0);
      expect(reports.length).toBeGreaterThan(2);
      isBroken = false;
      disk.always = null;
      await done;
      expect(stalled).toBe(1);
      disk.always = "EIO";
      sync.noteCommit(null, 1);
      const lost = expect(sync.sync(() => {})).rejects.toMatchObject({
        code: "PERSISTENCE_FAILED",
      });
      await sync.end(new RunStoreError("PERSISTENCE_FAILED", "closed"));
      await lost;
      await expect(sync.sync(() => {})).rejects.toMatchObject({ code: "RUNNER_CLOSED" });
    } finally {
      vi.useRealTimers();
    }
  });

  test("while nothing else fails keeps close from reporting the run as stored", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, closeTimeoutMs: 100, stopTimeoutMs: 100 });
    await runner.ready();
    const { promise: never, resolve } = Promise.withResolvers<void>();
    disk.plan = [never];
    const run = runToEnd(runner, "t", "r", answeringAgent());
    await eventually(() => disk.syncs === 1);
    const closed = expect(runner.close()).rejects.toMatchObject({ code: "CLOSE_INCOMPLETE" });
    expect((await run).at(-1)).toMatchObject({ type: "RUN_ERROR", code: "PERSISTENCE_FAILED" });
    // A sync that hangs in the kernel keeps its file open.
    resolve();
    await closed;
  });
});

test("the death of all threads does not affect a waiting sync, and the next sync finds the new WAL", async () => {
  const dbPath = tempDatabase();
  const threads = threadsStarted();
  const runner = openRunner({ dbPath });
  await runToEnd(runner, "t", "first", answeringAgent());
  expect(await replayOf(runner, "t")).not.toEqual([]);
  const { promise: synced, resolve } = Promise.withResolvers<void>();
  disk.plan = [synced];
  const second = runToEnd(runner, "t", "second", answeringAgent());
  await eventually(() => disk.syncs === 2);
  // The last connection that closes the database removes the WAL.
  await terminate(threads);
  const third = runToEnd(runner, "t", "third", answeringAgent());
  await eventually(() => storedRuns(dbPath) === 3);
  resolve();
  for (const run of [await second, await third]) {
    expect(run.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  }
  await runToEnd(runner, "t", "fourth", answeringAgent());
  // Four syncs, and one more if the death of the threads removed the WAL during a sync.
  expect(disk.syncs).toBeGreaterThanOrEqual(4);
});
