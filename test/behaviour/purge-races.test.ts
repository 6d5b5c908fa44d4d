import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { isIndexed } from "../support/database-file.ts";
import { enlargeThread } from "../support/large-thread.ts";
import { openRunner, replayOf, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** A runner with the threads "long", whose removal takes a while, "used" and "idle", the oldest first. */
async function runnerToPurge() {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (const threadId of ["long", "used", "idle"]) {
    await runToEnd(runner, threadId, "r1", answeringAgent());
  }
  await eventually(() => isIndexed(dbPath));
  enlargeThread(dbPath, "long", 10_000);
  const isPurging = () => eventually(async () => (await runner.threads.get("long")) === null);
  const idsOf = async (threadId: string) => runIdsIn(await replayOf(runner, threadId));
  return { runner, isPurging, idsOf };
}

test("a thread that is used while a purge is under way is not among the oldest any more", async () => {
  const { runner, isPurging, idsOf } = await runnerToPurge();
  const purged = runner.purge({ maxThreads: 1 });
  await isPurging();
  await runToEnd(runner, "used", "r2", answeringAgent());
  await purged;
  expect(await idsOf("used")).toEqual(["r1", "r2"]);
});

test("a thread that is unarchived while archived threads are purged stays", async () => {
  const { runner, isPurging, idsOf } = await runnerToPurge();
  for (const threadId of ["long", "used", "idle"]) await runner.threads.archive(threadId);
  const purged = runner.purge({ maxThreads: 0, archivedOnly: true });
  await isPurging();
  await runner.threads.unarchive("used");
  expect(await purged).toMatchObject({ threads: 2 });
  expect(await idsOf("used")).toEqual(["r1"]);
  expect(await idsOf("idle")).toEqual([]);
});
