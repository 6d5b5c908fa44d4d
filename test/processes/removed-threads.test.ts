import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { brake } from "../support/brake.ts";
import { isUnfinished, storedRows } from "../support/database-file.ts";
import { enlargeThread } from "../support/large-thread.ts";
import { isA } from "../support/message-events.ts";
import { openRunner, replayOf, runIdsIn, runToEnd, typesOf } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { processInMidRun, RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const RUNS = 8000;

/** How long a process that was killed counts as alive on PostgreSQL. */
const LEASE_MS = 3000;

const rowsOf = storedRows;

/** A thread of two processes, too large to be removed in one transaction. */
async function largeThread() {
  const dbPath = tempDatabase();
  const other = await RunnerProcess.open({ dbPath, leaseMs: LEASE_MS });
  const here = openRunner({ dbPath, leaseMs: LEASE_MS });
  await runToEnd(here, "t", "r1", answeringAgent());
  await runToEnd(here, "neighbour", "r1", answeringAgent());
  enlargeThread(dbPath, "t", RUNS);
  return { dbPath, other, here };
}

describe("a thread that is deleted", () => {
  test("disappears at once for all processes, long before its last row is deleted", async () => {
    const { dbPath, other, here } = await largeThread();
    const release = brake(dbPath);
    const deleted = other.threads("delete", "t");
    await eventually(async () => (await here.threads.get("t")) === null);
    expect(await replayOf(here, "t")).toEqual([]);
    expect(await rowsOf(dbPath, "t")).toBeGreaterThan(0);
    expect((await here.threads.list()).threads.map(({ id }) => id)).toEqual(["neighbour"]);
    // Other runs go on meanwhile.
    await runToEnd(here, "neighbour", "r2", answeringAgent());
    expect(await rowsOf(dbPath, "t")).toBeGreaterThan(0);
    release();
    await deleted;
    expect(await rowsOf(dbPath, "t")).toBe(0);
    expect(runIdsIn(await replayOf(here, "neighbour"))).toEqual(["r1", "r2"]);
  });

  test("is removed to the end by another process when its own is killed", async () => {
    const { dbPath, other, here } = await largeThread();
    const release = brake(dbPath);
    const deleted = other.threads("delete", "t").catch((error: Error) => error);
    await eventually(async () => (await rowsOf(dbPath, "t")) < RUNS);
    await other.kill();
    release();
    expect(await deleted).toBeInstanceOf(Error);
    expect(await replayOf(here, "t")).toEqual([]);
    await eventually(async () => (await rowsOf(dbPath, "t")) === 0);
    await eventually(async () => !(await isUnfinished(dbPath)));
    await runToEnd(here, "t", "again", answeringAgent());
    expect(runIdsIn(await replayOf(here, "t"))).toEqual(["again"]);
  });

  test("is removed to the end by the next process when there is no other", async () => {
    const dbPath = tempDatabase();
    const only = await RunnerProcess.open({ dbPath, leaseMs: LEASE_MS });
    const first = only.run("t", "r1");
    await first.emit(started({ threadId: "t", runId: "r1" }));
    await first.finish();
    await first.done;
    enlargeThread(dbPath, "t", RUNS);
    const release = brake(dbPath);
    only.threads("delete", "t").catch(() => undefined);
    await eventually(async () => (await rowsOf(dbPath, "t")) < RUNS);
    await only.kill();
    release();
    const next = openRunner({ dbPath, leaseMs: LEASE_MS });
    expect(await replayOf(next, "t")).toEqual([]);
    await eventually(async () => (await rowsOf(dbPath, "t")) === 0);
  });

  test("waits for a run on it that is made again: enqueued, it begins when all rows are gone", async () => {
    const { dbPath, other } = await largeThread();
    const here = openRunner({ dbPath, onConcurrentRun: "enqueue" });
    const deleted = other.threads("delete", "t");
    await eventually(async () => (await rowsOf(dbPath, "t")) < RUNS);
    await runToEnd(here, "t", "again", answeringAgent());
    await deleted;
    expect(await rowsOf(dbPath, "t")).toBe(1);
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
    expect(await rowsOf(dbPath, "t")).toBe(1);
  });

  test("does not take late writes of a process that was suspended", async () => {
    const dbPath = tempDatabase();
    const leaseMs = 300;
    const { owner, run } = await processInMidRun(dbPath, { leaseMs });
    const here = openRunner({ dbPath, leaseMs });
    await owner.pauseUnlocked(dbPath);
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

describe("a fork", () => {
  test("of a killed process is removed, and can be made again", async () => {
    const { dbPath, other, here } = await largeThread();
    const release = brake(dbPath);
    const forked = other.threads("fork", "t", { newThreadId: "f" }).catch((error: Error) => error);
    await eventually(async () => (await rowsOf(dbPath, "f")) > 0);
    await other.kill();
    release();
    expect(await forked).toBeInstanceOf(Error);
    expect(await replayOf(here, "f")).toEqual([]);
    await eventually(async () => (await rowsOf(dbPath, "f")) === 0);
    await eventually(async () => !(await isUnfinished(dbPath)));
    await here.threads.fork("t", { newThreadId: "f" });
    expect(await rowsOf(dbPath, "f")).toBe(RUNS + 1);
  });

  test("ends when the thread is deleted meanwhile", async () => {
    const { dbPath, other, here } = await largeThread();
    const release = brake(dbPath);
    const forked = other.threads("fork", "t", { newThreadId: "f" }).catch((error: Error) => error);
    await eventually(async () => (await rowsOf(dbPath, "f")) > 0);
    const deleted = here.threads.delete("t");
    expect(await forked).toBeInstanceOf(Error);
    release();
    await deleted;
    await eventually(async () => (await rowsOf(dbPath, "f")) === 0);
    expect(await here.threads.get("f")).toBeNull();
  });
});

describe("a purge", () => {
  test("of a killed process leaves whole threads, and is finished by the next purge", async () => {
    const { dbPath, other, here } = await largeThread();
    const release = brake(dbPath);
    const purged = other.purge({ maxRunsPerThread: 5 }).catch((error: Error) => error);
    await eventually(async () => (await rowsOf(dbPath, "t")) < RUNS);
    await other.kill();
    release();
    expect(await purged).toBeInstanceOf(Error);
    const left = await rowsOf(dbPath, "t");
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
    expect(await rowsOf(dbPath, "t")).toBe(5);
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
