import "../support/leak-guard.ts";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { valueIn, withDatabase } from "../support/database-file.ts";
import { countInFiles } from "../support/file-search.ts";
import { enlargeThread } from "../support/large-thread.ts";
import { isA } from "../support/message-events.ts";
import { openRunner, replayOf, runIdsIn, runToEnd, typesOf } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { processInMidRun, RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { Version1 } from "../support/version-1.ts";

const HOLDER = fileURLToPath(new URL("../support/hold-snapshot.child.ts", import.meta.url));

const RUNS = 8000;

const rowsOf = (dbPath: string, threadId: string) =>
  valueIn(dbPath, "SELECT count(*) FROM agent_runs WHERE thread_id = ?", threadId) as number;

/** A thread of two processes, too large to be removed in one transaction. */
async function largeThread() {
  const dbPath = tempDatabase();
  const other = await RunnerProcess.open({ dbPath });
  const here = openRunner({ dbPath });
  await runToEnd(here, "t", "r1", answeringAgent());
  await runToEnd(here, "neighbour", "r1", answeringAgent());
  enlargeThread(dbPath, "t", RUNS);
  return { dbPath, other, here };
}

describe("a thread that is deleted", () => {
  test("disappears at once for all processes, long before its last row is deleted", async () => {
    const { dbPath, other, here } = await largeThread();
    const deleted = other.threads("delete", "t");
    await eventually(async () => (await replayOf(here, "t")).length === 0);
    expect(rowsOf(dbPath, "t")).toBeGreaterThan(0);
    expect(await here.threads.get("t")).toBeNull();
    expect((await here.threads.list()).threads.map(({ id }) => id)).toEqual(["neighbour"]);
    // Other runs go on meanwhile.
    await runToEnd(here, "neighbour", "r2", answeringAgent());
    expect(rowsOf(dbPath, "t")).toBeGreaterThan(0);
    await deleted;
    expect(rowsOf(dbPath, "t")).toBe(0);
    expect(runIdsIn(await replayOf(here, "neighbour"))).toEqual(["r1", "r2"]);
  });

  test("is removed to the end by another process when its own is killed", async () => {
    const { dbPath, other, here } = await largeThread();
    const deleted = other.threads("delete", "t").catch((error: Error) => error);
    await eventually(() => rowsOf(dbPath, "t") < RUNS);
    await other.kill();
    expect(await deleted).toBeInstanceOf(Error);
    expect(await replayOf(here, "t")).toEqual([]);
    await eventually(() => rowsOf(dbPath, "t") === 0);
    await eventually(() => valueIn(dbPath, "SELECT count(*) FROM unfinished_threads") === 0);
    await runToEnd(here, "t", "again", answeringAgent());
    expect(runIdsIn(await replayOf(here, "t"))).toEqual(["again"]);
  });

  test("is removed to the end by the next process when there is no other", async () => {
    const dbPath = tempDatabase();
    const only = await RunnerProcess.open({ dbPath });
    const first = only.run("t", "r1");
    await first.emit(started({ threadId: "t", runId: "r1" }));
    await first.finish();
    await first.done;
    enlargeThread(dbPath, "t", RUNS);
    only.threads("delete", "t").catch(() => undefined);
    await eventually(() => rowsOf(dbPath, "t") < RUNS);
    await only.kill();
    const next = openRunner({ dbPath });
    expect(await replayOf(next, "t")).toEqual([]);
    await eventually(() => rowsOf(dbPath, "t") === 0);
  });

  test("waits for a run on it that is made again: enqueued, it begins when all rows are gone", async () => {
    const { dbPath, other } = await largeThread();
    const here = openRunner({ dbPath, onConcurrentRun: "enqueue" });
    const deleted = other.threads("delete", "t");
    await eventually(() => rowsOf(dbPath, "t") < RUNS);
    await runToEnd(here, "t", "again", answeringAgent());
    await deleted;
    expect(rowsOf(dbPath, "t")).toBe(1);
    expect(runIdsIn(await replayOf(here, "t"))).toEqual(["again"]);
  });

  test("ends its run in another process, and nothing of that run comes back", async () => {
    const dbPath = tempDatabase();
    const { owner, run } = await processInMidRun(dbPath);
    const here = openRunner({ dbPath });
    const watching = here.connect({ threadId: "t" });
    const seen: string[] = [];
    const done = new Promise<void>((resolve) => {
      watching.subscribe({ next: ({ type }) => seen.push(type), complete: resolve });
    });
    await eventually(() => seen.includes("TEXT_MESSAGE_CONTENT"));
    await here.threads.delete("t");
    await run.done;
    await done;
    expect(await replayOf(here, "t")).toEqual([]);
    expect(await owner.isRunning("t")).toBe(false);
    await runToEnd(here, "t", "again", answeringAgent());
    expect(runIdsIn(await replayOf(here, "t"))).toEqual(["again"]);
    await owner.close();
    expect(rowsOf(dbPath, "t")).toBe(1);
  });

  test("does not take late writes of a process that was suspended", async () => {
    const dbPath = tempDatabase();
    const leaseMs = 300;
    const { owner, run } = await processInMidRun(dbPath, { leaseMs });
    const here = openRunner({ dbPath, leaseMs });
    owner.pause();
    await eventually(async () => !(await here.isRunning({ threadId: "t" })));
    await here.threads.delete("t");
    await runToEnd(here, "t", "again", answeringAgent());
    owner.resume();
    await run.emit({ type: "TEXT_MESSAGE_END", messageId: "m" }).catch(() => undefined);
    await run.finish();
    const events = await run.done;
    expect(events.at(-1)?.type).toBe("RUN_ERROR");
    expect(runIdsIn(await replayOf(here, "t"))).toEqual(["again"]);
  });

  test("ends a replay in the middle, with a stream that clients accept", async () => {
    const { other, here } = await largeThread();
    const events: { type: string }[] = [];
    let deleted: Promise<unknown> | null = null;
    await new Promise<void>((resolve) => {
      here.connect({ threadId: "t" }).subscribe({
        next: (event) => {
          events.push(event);
          if (events.length === 100) deleted = other.threads("delete", "t");
        },
        complete: resolve,
      });
    });
    await deleted;
    expect(events.length).toBeGreaterThan(99);
    await verifyWithClients(events);
  });
});

test("version 1 runs and purges beside a removal", async () => {
  const { dbPath, other, here } = await largeThread();
  const deleted = other.threads("delete", "t");
  await eventually(() => rowsOf(dbPath, "t") < RUNS);
  withDatabase(dbPath, (db) => {
    const version1 = new Version1(db);
    version1.storeRun("t", "from-version-1");
    db.prepare("DELETE FROM agent_runs WHERE thread_id = ?").run("neighbour");
  });
  await deleted;
  expect(runIdsIn(await replayOf(here, "t"))).toEqual(["from-version-1"]);
  expect(await replayOf(here, "neighbour")).toEqual([]);
});

describe("a fork", () => {
  test("of a killed process is removed, and can be made again", async () => {
    const { dbPath, other, here } = await largeThread();
    const forked = other.threads("fork", "t", { newThreadId: "f" }).catch((error: Error) => error);
    await eventually(() => rowsOf(dbPath, "f") > 0);
    await other.kill();
    expect(await forked).toBeInstanceOf(Error);
    expect(await replayOf(here, "f")).toEqual([]);
    await eventually(() => rowsOf(dbPath, "f") === 0);
    await eventually(() => valueIn(dbPath, "SELECT count(*) FROM unfinished_threads") === 0);
    await here.threads.fork("t", { newThreadId: "f" });
    expect(rowsOf(dbPath, "f")).toBe(RUNS + 1);
  });

  test("ends when the thread is deleted meanwhile", async () => {
    const { dbPath, other, here } = await largeThread();
    const forked = other.threads("fork", "t", { newThreadId: "f" }).catch((error: Error) => error);
    await eventually(() => rowsOf(dbPath, "f") > 0);
    await here.threads.delete("t");
    expect(await forked).toBeInstanceOf(Error);
    await eventually(() => rowsOf(dbPath, "f") === 0);
    expect(await here.threads.get("f")).toBeNull();
  });
});

describe("a purge", () => {
  test("of a killed process leaves whole threads, and is finished by the next purge", async () => {
    const { dbPath, other, here } = await largeThread();
    const purged = other.purge({ maxRunsPerThread: 5 }).catch((error: Error) => error);
    await eventually(() => rowsOf(dbPath, "t") < RUNS);
    await other.kill();
    expect(await purged).toBeInstanceOf(Error);
    const left = rowsOf(dbPath, "t");
    expect(left).toBeGreaterThan(5);
    expect(typesOf(await replayOf(here, "t"))[0]).toBe("RUN_STARTED");
    expect((await here.purge({ maxRunsPerThread: 5 })).runs).toBe(left - 5);
    expect(runIdsIn(await replayOf(here, "t"))).toHaveLength(5);
  });

  test("is made by one process at a time", async () => {
    const { dbPath, other, here } = await largeThread();
    const [one, two] = await Promise.all([
      other.purge({ maxRunsPerThread: 5 }),
      here.purge({ maxRunsPerThread: 5 }),
    ]);
    expect([one.runs, two.runs].toSorted((a, b) => a - b)).toEqual([0, RUNS + 1 - 5]);
    expect(rowsOf(dbPath, "t")).toBe(5);
  });

  test("does not harm a client that replays the thread meanwhile", async () => {
    const { other, here } = await largeThread();
    const purged = other.purge({ maxRunsPerThread: 5 });
    const events = await replayOf(here, "t");
    await purged;
    await verifyWithClients(events);
    expect(events.some(isA("RUN_STARTED"))).toBe(true);
    expect(runIdsIn(await replayOf(here, "t"))).toHaveLength(5);
  });
});

describe("erasing", () => {
  test("a thread while its process is killed: another process carries on", async () => {
    const { dbPath, other, here } = await largeThread();
    const erased = other.threads("erase", { threadId: "t" }).catch((error: Error) => error);
    await eventually(() => rowsOf(dbPath, "t") < RUNS);
    await other.kill();
    expect(await erased).toBeInstanceOf(Error);
    await eventually(() => rowsOf(dbPath, "t") === 0);
    expect(await replayOf(here, "t")).toEqual([]);
    expect(await here.threads.erase({ threadId: "t" })).toMatchObject({ verified: true });
    expect(countInFiles(dbPath, "copy-t-")).toBe(0);
    const again = here.threads.erase({ threadId: "t" });
    await expect(again).rejects.toMatchObject({ code: "THREAD_NOT_FOUND" });
  });

  test("a thread while its process is killed that waits for a reader: it can be called again", async () => {
    const { dbPath, other, here } = await largeThread();
    const holder = spawnChild(process.execPath, [HOLDER, dbPath]);
    expect(await nextLine(holder)).toBe("holding");
    const erased = other.threads("erase", { threadId: "t" }).catch((error: Error) => error);
    await eventually(() => rowsOf(dbPath, "t") === 0);
    await eventually(() => valueIn(dbPath, "PRAGMA freelist_count") === 0);
    for (const runId of ["r2", "r3"]) await runToEnd(here, "neighbour", runId, answeringAgent());
    await other.kill();
    expect(await erased).toBeInstanceOf(Error);
    holder.process.stdin?.end();
    expect(countInFiles(dbPath, "copy-t-")).toBeGreaterThan(0);
    expect(await here.threads.erase({ threadId: "t" })).toMatchObject({ verified: true });
    expect(countInFiles(dbPath, "copy-t-")).toBe(0);
  });

  test("of two processes at once, in a file that cannot give its pages back", async () => {
    const dbPath = tempDatabase();
    const ids = Array.from({ length: 6 }, (_, at) => `t${at}`);
    const old = new Database(dbPath);
    const version1 = new Version1(old);
    for (const id of ids) {
      for (let at = 0; at < 8; at++) version1.storeRun(id, `run-of-${id}-${at}`);
    }
    old.exec("UPDATE agent_runs SET input = json_object('said', hex(randomblob(60000)))");
    old.close();
    const processes = [await RunnerProcess.open({ dbPath }), await RunnerProcess.open({ dbPath })];
    const erased = await Promise.all(
      processes.map(async (process, half) => {
        const results: unknown[] = [];
        for (const threadId of ids.slice(half * 3, half * 3 + 3)) {
          results.push(await process.threads("erase", { threadId }));
        }
        return results;
      }),
    );
    expect(erased.flat()).toEqual(ids.map(() => ({ threads: 1, runs: 8, verified: true })));
    expect(countInFiles(dbPath, "run-of-t")).toBe(0);
  });

  test("a thread that another process has open", async () => {
    const { dbPath, other, here } = await largeThread();
    expect(await replayOf(here, "t")).not.toEqual([]);
    const erased = await other.threads("erase", { threadId: "t" });
    expect(erased).toEqual({ threads: 1, runs: RUNS + 1, verified: true });
    expect(countInFiles(dbPath, "copy-t-")).toBe(0);
    expect(runIdsIn(await replayOf(here, "neighbour"))).toEqual(["r1"]);
  });
});
