import "../support/leak-guard.ts";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { brake } from "../support/brake.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { valueIn, withDatabase } from "../support/database-file.ts";
import { countInFiles } from "../support/file-search.ts";
import { enlargeThread } from "../support/large-thread.ts";
import { openRunner, replayOf, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
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

test("version 1 runs and purges beside a removal", async () => {
  const { dbPath, other, here } = await largeThread();
  const release = brake(dbPath);
  const deleted = other.threads("delete", "t");
  await eventually(() => rowsOf(dbPath, "t") < RUNS);
  withDatabase(dbPath, (db) => {
    const version1 = new Version1(db);
    version1.storeRun("t", "from-version-1");
    db.prepare("DELETE FROM agent_runs WHERE thread_id = ?").run("neighbour");
  });
  release();
  await deleted;
  expect(runIdsIn(await replayOf(here, "t"))).toEqual(["from-version-1"]);
  expect(await replayOf(here, "neighbour")).toEqual([]);
});

describe("erasing", () => {
  test("a thread while its process is killed: another process carries on", async () => {
    const { dbPath, other, here } = await largeThread();
    const release = brake(dbPath);
    const erased = other.threads("erase", { threadId: "t" }).catch((error: Error) => error);
    await eventually(() => rowsOf(dbPath, "t") < RUNS);
    await other.kill();
    release();
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
