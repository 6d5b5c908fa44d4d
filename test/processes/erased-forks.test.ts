import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { withResource } from "../../src/index.ts";
import { brake } from "../support/brake.ts";
import { valueIn, withDatabase } from "../support/database-file.ts";
import { countInFiles } from "../support/file-search.ts";
import { enlargeThread } from "../support/large-thread.ts";
import { openRunner, replayOf, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** Thread "t" of a resource, and another process that is making its fork "f". */
async function threadBeingForked() {
  const dbPath = tempDatabase();
  const other = await RunnerProcess.open({ dbPath });
  const here = openRunner({ dbPath });
  await withResource("ann", () => runToEnd(here, "t", "r1", answeringAgent()));
  enlargeThread(dbPath, "t", 4000);
  const release = brake(dbPath);
  const forked = other
    .threadsOf("ann", "fork", "t", { newThreadId: "f" })
    .catch((error: Error) => error);
  const rows = () => valueIn(dbPath, "SELECT count(*) FROM agent_runs WHERE thread_id = 'f'");
  await eventually(() => Number(rows()) > 100);
  const isForkGone = () => eventually(() => rows() === 0);
  const erase = (target: { threadId: string } | { resourceId: string }) =>
    withResource("ann", () => here.threads.erase(target));
  return { dbPath, other, here, forked, release, isForkGone, erase };
}

/** Whether no process holds the lock for writing. */
function isWritable(dbPath: string): boolean {
  return withDatabase(dbPath, (db) => {
    db.pragma("busy_timeout = 0");
    try {
      db.exec("BEGIN IMMEDIATE; ROLLBACK");
      return true;
    } catch {
      return false;
    }
  });
}

/** What is in the ids of the runs of the thread and of its fork. */
const TRACE = "copy-t-";

for (const target of [{ threadId: "t" }, { resourceId: "ann" }]) {
  const name = Object.keys(target)[0];
  test(`what a killed process has left of a fork is erased with its origin, by ${name}`, async () => {
    const { dbPath, other, erase, release, isForkGone } = await threadBeingForked();
    await other.kill();
    release();
    const erased = await erase(target);
    expect(erased).toEqual({ threads: 1, runs: 4001, verified: true });
    await isForkGone();
    expect(countInFiles(dbPath, TRACE)).toBe(0);
  });
}

test("an erasure is not proven while a suspended process has a part of a fork", async () => {
  const { dbPath, other, here, erase, forked, release, isForkGone } = await threadBeingForked();
  await eventually(() => {
    other.pause();
    if (isWritable(dbPath)) return true;
    other.resume();
    return false;
  });
  release();
  const code = await erase({ threadId: "t" }).catch((error) => error.code);
  expect(code).toBe("ERASE_INCOMPLETE");
  expect(await withResource("ann", () => replayOf(here, "t"))).toEqual([]);
  other.resume();
  expect(String(await forked)).toContain("there is no such thread");
  await isForkGone();
  expect(await erase({ threadId: "t" })).toMatchObject({ verified: true });
  expect(countInFiles(dbPath, TRACE)).toBe(0);
});
