import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import type { ThreadPage, ThreadSummary } from "../../src/index.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { eventually, laterMillisecond } from "../support/poll.ts";
import { processInMidRun, RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, finished, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };

test("a thread that another process runs, archives and names is so here", async () => {
  const dbPath = tempDatabase();
  const { owner, finish } = await processInMidRun(dbPath);
  const here = openRunner({ dbPath });
  expect(await here.threads.get("t")).toMatchObject({ isRunning: true, runs: 0 });
  await here.threads.rename("t", "From here");
  await owner.threads("archive", "t");
  await finish();
  const there = await owner.threads<ThreadSummary>("get", "t");
  expect(there).toMatchObject({ title: "From here", archived: true, isRunning: false, runs: 1 });
  expect(await here.threads.get("t")).toEqual(there);
});

test("runs of a process that was killed before they were indexed are found by their words", async () => {
  const dbPath = tempDatabase();
  const owner = await RunnerProcess.open({ dbPath });
  const run = owner.run("t", "r");
  await run.emit(started(ids), ...text("m", "elephants"), finished(ids));
  await run.finish();
  await run.done;
  await owner.kill();
  const here = openRunner({ dbPath });
  expect((await here.threads.list()).threads).toMatchObject([{ id: "t", runs: 1 }]);
  const find = async () => (await here.threads.list({ search: "eleph" })).threads;
  await eventually(async () => (await find()).length > 0);
  expect(await find()).toMatchObject([{ id: "t" }]);
});

test("a thread is in its place in lists also when its last run left nothing as its process was killed", async () => {
  const dbPath = tempDatabase();
  const leaseMs = 1000;
  const here = openRunner({ dbPath, leaseMs });
  await runToEnd(here, "t", "r0", answeringAgent());
  const owner = await RunnerProcess.open({ dbPath, leaseMs });
  owner.run("t", "r");
  await eventually(() => here.isRunning({ threadId: "t" }));
  await runToEnd(here, "later", "r1", answeringAgent());
  const { updatedAt: later = 0 } = (await here.threads.get("later")) ?? {};
  await laterMillisecond();
  await owner.kill();
  await eventually(async () => {
    const { updatedAt = 0 } = (await here.threads.get("t")) ?? {};
    return updatedAt > later;
  });
  const { threads } = await here.threads.list();
  expect(threads.map(({ id, runs }) => [id, runs])).toEqual([
    ["t", 1],
    ["later", 1],
  ]);
});

test("a process that lives indexes the runs of one that was killed", async () => {
  const dbPath = tempDatabase();
  const here = openRunner({ dbPath });
  await runToEnd(here, "own", "own", answeringAgent());
  const { owner } = await processInMidRun(dbPath);
  await owner.kill();
  const find = async () => (await here.threads.list({ search: "so far" })).threads;
  await eventually(async () => (await find()).length > 0);
  expect(await find()).toMatchObject([
    {
      id: "t",
      isRunning: false,
      runs: 1,
      lastRun: { outcome: "error", errorCode: "RUN_INTERRUPTED" },
    },
  ]);
});

test("each process lists the threads of all", async () => {
  const dbPath = tempDatabase();
  const owner = await RunnerProcess.open({ dbPath });
  const here = openRunner({ dbPath });
  await runToEnd(here, "here", "r1", answeringAgent());
  await laterMillisecond();
  const run = owner.run("t", "r");
  await run.emit(started(ids), finished(ids));
  await run.finish();
  await run.done;
  const page = await owner.threads<ThreadPage>("list", {});
  expect(page.threads.map(({ id }) => id)).toEqual(["t", "here"]);
  expect(await here.threads.list()).toEqual(page);
});
