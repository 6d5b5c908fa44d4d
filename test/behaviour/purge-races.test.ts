import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { ageThread, isIndexed, withDatabase } from "../support/database-file.ts";
import { enlargeThread } from "../support/large-thread.ts";
import { schemaOf } from "../support/new-runner.ts";
import { openRunner, replayOf, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { postgresRows } from "../support/postgres-rows.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** The oldest first. The removal of "long" takes a while. */
const THREADS = ["long", "used", "idle"] as const;

async function runnerToPurge() {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (const threadId of THREADS) await runToEnd(runner, threadId, "r1", answeringAgent());
  await eventually(() => isIndexed(dbPath));
  // Their runs may have ended in the same millisecond.
  for (const [at, threadId] of THREADS.entries()) ageThread(dbPath, threadId, 1000 + at);
  enlargeThread(dbPath, "long", 10_000);
  const isPurging = () => eventually(async () => (await runner.threads.get("long")) === null);
  const idsOf = async (threadId: string) => runIdsIn(await replayOf(runner, threadId));
  return { dbPath, runner, isPurging, idsOf };
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
  for (const threadId of THREADS) await runner.threads.archive(threadId);
  const purged = runner.purge({ maxThreads: 0, archivedOnly: true });
  await isPurging();
  await runner.threads.unarchive("used");
  expect(await purged).toMatchObject({ threads: 2 });
  expect(await idsOf("used")).toEqual(["r1"]);
  expect(await idsOf("idle")).toEqual([]);
});

test("a purge ends when another process has taken its lease: its counts are wrong from then on", async () => {
  const { dbPath, runner, isPurging, idsOf } = await runnerToPurge();
  const purged = runner.purge({ maxThreads: 1 });
  await isPurging();
  takePurgeLease(dbPath);
  expect((await purged).threads).toBe(1);
  expect(await idsOf("used")).toEqual(["r1"]);
});

test("two purges at the same time leave as many threads as one", async () => {
  const { runner, idsOf } = await runnerToPurge();
  const purges = [runner.purge({ maxThreads: 2 }), runner.purge({ maxThreads: 2 })];
  expect((await Promise.all(purges)).map(({ threads }) => threads)).toEqual([1, 0]);
  expect(await idsOf("used")).toEqual(["r1"]);
});

function takePurgeLease(dbPath: string): void {
  const { RUNNER_POSTGRES_URL: url } = process.env;
  const taken = (schema: string) => `UPDATE ${schema}purge_lease SET instance_id = 'another'`;
  if (url === undefined) withDatabase(dbPath, (db) => db.exec(taken("")));
  else postgresRows(url, taken(`${schemaOf(dbPath)}.`));
}
