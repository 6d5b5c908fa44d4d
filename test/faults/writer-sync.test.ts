import "../support/leak-guard.ts";
import type * as Fs from "node:fs";
import { statSync, writeFileSync } from "node:fs";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { RunStoreError } from "../../src/protocol/errors.ts";
import { WalSync } from "../../src/store/sqlite/wal-sync.ts";
import { WriterSync } from "../../workers/sqlite/database/writer-sync.ts";
import { openRunner, replayOf, runToEnd } from "../support/open-runner.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { terminate } from "../support/terminate.ts";
import { threadsStarted } from "../support/threads-started.ts";

type Done = (error: NodeJS.ErrnoException | null) => void;

/** The syncs of the main thread. */
const main = vi.hoisted(() => ({ syncs: 0, started: null as (() => Promise<void>) | null }));

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof Fs>();
  const fdatasync = (fd: number, done: Done) => {
    main.syncs++;
    void Promise.resolve(main.started?.()).then(() => fs.fdatasync(fd, done));
  };
  return { ...fs, fdatasync };
});

afterEach(() => {
  main.syncs = 0;
  main.started = null;
});

describe("a run that nothing follows", () => {
  // No sync is slow by this clock.
  beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
  afterEach(() => void vi.useRealTimers());

  test("is synced by the writer, and the main thread does not sync it again", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runner.ready();
    for (const runId of ["first", "second"]) {
      const events = await runToEnd(runner, "t", runId, answeringAgent());
      expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    }
    expect(main.syncs).toBe(0);
  });

  test("is synced by the writer, which does not sync what is removed or forked after it", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runner.ready();
    await runToEnd(runner, "t", "first", answeringAgent());
    expect(main.syncs).toBe(0);
    const forked = await runner.threads.fork("t");
    expect(main.syncs).toBe(1);
    await runToEnd(runner, "t", "second", answeringAgent());
    expect(main.syncs).toBe(1);
    await runner.threads.delete("t");
    expect(main.syncs).toBe(2);
    await runToEnd(runner, forked, "second", answeringAgent());
    expect(main.syncs).toBe(2);
    await runner.purge({ maxThreads: 0 });
    expect(main.syncs).toBe(3);
  });

  test("is synced by the main thread after the death of the writer: the WAL may have a hole", async () => {
    const threads = threadsStarted();
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "first", answeringAgent());
    // A reader has the file open: the WAL stays.
    await replayOf(runner, "t");
    const before = main.syncs;
    const [writer] = threads;
    if (writer === undefined) throw new Error("no writer was started");
    await terminate([writer]);
    const events = await runToEnd(runner, "t", "second", answeringAgent());
    expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(main.syncs).toBeGreaterThan(before);
  });
});

describe("the writer's sync", () => {
  function openDatabase() {
    const path = tempDatabase();
    const db = new Database(path);
    onTestFinished(() => void db.close());
    db.pragma("journal_mode = WAL");
    db.exec("CREATE TABLE t (c)");
    return { db, walPath: `${path}-wal` };
  }

  test("is tried only on a WAL that was written again behind its descriptor", () => {
    const { db, walPath } = openDatabase();
    const sync = new WriterSync(walPath);
    onTestFinished(() => sync.close());
    expect(sync.sync()).toBe(null);
    sync.rewrite(db);
    expect(sync.sync()).toBe(true);
  });

  test("that fails says so, and is tried again only when the WAL was written again", () => {
    const { db } = openDatabase();
    // This device cannot be synced.
    const sync = new WriterSync("/dev/full");
    onTestFinished(() => sync.close());
    sync.rewrite(db);
    expect(sync.sync()).toBe(false);
    expect(sync.sync()).toBe(null);
    sync.rewrite(db);
    expect(sync.sync()).toBe(false);
  });
});

describe("what the writer says of its sync", () => {
  // By this clock, each sync of the main thread takes no time.
  beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
  afterEach(() => void vi.useRealTimers());

  async function openSync() {
    const walPath = `${tempDatabase()}-wal`;
    writeFileSync(walPath, "");
    const steps: string[] = [];
    const sync = new WalSync({
      wal: async () => ({ walPath, wal: statSync(walPath, { bigint: true }) }),
      rewrite: async () => void steps.push("rewrite"),
      onTrouble: ({ code }) => void steps.push(code),
    });
    onTestFinished(() => sync.end(new RunStoreError("RUNNER_CLOSED", "closed")));
    main.started = async () => void steps.push("sync");
    const commit = (synced: boolean | null, ms = 1) => {
      sync.noteCommit(synced, ms);
      return sync.sync(() => {});
    };
    return { sync, steps, commit };
  }

  test("counts only when the WAL has no hole", async () => {
    const { sync, steps, commit } = await openSync();
    expect(sync.leavesSyncToWriter).toBe(false);
    await commit(true);
    expect(steps).toEqual(["rewrite", "sync"]);
    expect(sync.leavesSyncToWriter).toBe(true);
    await commit(true);
    expect(steps).toEqual(["rewrite", "sync"]);
  });

  test("covers the commits before it, and none after it", async () => {
    const { sync, steps, commit } = await openSync();
    await commit(null);
    steps.length = 0;
    sync.noteCommit(null, 1);
    await commit(true);
    expect(steps).toEqual([]);
    sync.noteCommit(true, 1);
    await commit(null);
    expect(steps).toEqual(["sync"]);
  });

  test("counts for nothing while the main thread syncs, which may find a hole", async () => {
    const { sync, steps, commit } = await openSync();
    await commit(null);
    steps.length = 0;
    const under = commit(null);
    await Promise.all([under, commit(true)]);
    expect(steps).toEqual(["sync", "sync"]);
    expect(sync.leavesSyncToWriter).toBe(true);
  });

  test("has the WAL written again when it failed, or when the writer died with it", async () => {
    const { sync, steps, commit } = await openSync();
    await commit(null);
    steps.length = 0;
    await commit(false);
    expect(steps).toEqual(["IO_ERROR", "rewrite", "sync"]);
    expect(sync.lastError?.code).toBe("IO_ERROR");
    steps.length = 0;
    sync.distrust();
    await commit(true);
    expect(steps).toEqual(["rewrite", "sync"]);
  });

  test("that it was slow leaves the next sync to the main thread", async () => {
    const { sync, steps, commit } = await openSync();
    await commit(null);
    expect(sync.leavesSyncToWriter).toBe(true);
    await commit(true, 100);
    expect(sync.leavesSyncToWriter).toBe(false);
    steps.length = 0;
    await commit(null);
    expect(steps).toEqual(["sync"]);
    expect(sync.leavesSyncToWriter).toBe(true);
  });
});
