import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { type Child, nextLine, spawnChild } from "../support/child-process.ts";
import { eventsOf, runRows, valueIn } from "../support/database-file.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { processInMidRun, RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const CHILD = `${import.meta.dirname}/../support/killed-run.child.ts`;

const REFUSED = [{ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" }];
const RECOVERED = "recovered runs of dead processes";
const HOUR_MS = 3_600_000;

/** A process that was killed in the middle of a run, when all its events were in the file. */
async function killMidRun(dbPath: string): Promise<Child> {
  const child = spawnChild(process.execPath, [CHILD, dbPath, "thread", "killed-run"]);
  expect(await nextLine(child)).toBe("stored");
  await child.kill();
  return child;
}

describe("a process that is killed in the middle of a run", () => {
  test("its thread is free again when the file is opened", async () => {
    const dbPath = tempDatabase();
    await killMidRun(dbPath);
    const isRunning = "SELECT is_running FROM run_state WHERE thread_id = 'thread'";
    expect(valueIn(dbPath, isRunning)).toBe(1);

    const runner = openRunner({ dbPath });
    expect(await runner.isRunning({ threadId: "thread" })).toBe(false);
    const events = await runToEnd(runner, "thread", "next-run", answeringAgent());
    expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED", runId: "next-run" });
    expect(runIdsIn(await replayOf(runner, "thread"))).toEqual(["killed-run", "next-run"]);
    await runner.close();
    expect(valueIn(dbPath, isRunning)).toBe(0);
  });

  test("keeps the events of its run, with one terminal event", async () => {
    const dbPath = tempDatabase();
    await killMidRun(dbPath);
    expect(runRows(dbPath, "thread")).toEqual([]);

    const runner = openRunner({ dbPath });
    const replay = await replayOf(runner, "thread");
    expect(spokenIn(replay)).toBe("one two three");
    expect(replay[0]).toMatchObject({
      type: "RUN_STARTED",
      runId: "killed-run",
      input: { messages: [{ id: "question-killed-run" }] },
    });
    expect(typesOf(replay).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_ERROR"]);
    expect(replay.at(-1)).toMatchObject({ code: "RUN_INTERRUPTED" });
    await verifyWithClients(replay);
    expect(valueIn(dbPath, "SELECT count(*) FROM run_events")).toBe(0);
  });
});

describe("a process that is killed while another has the file open", () => {
  test("loses its thread at once, long before its lease ends", async () => {
    const dbPath = tempDatabase();
    const { owner } = await processInMidRun(dbPath, { leaseMs: HOUR_MS });
    const here = openRunner({ dbPath });
    expect(await runToEnd(here, "t", "too-early", answeringAgent())).toMatchObject(REFUSED);
    await owner.kill();
    expect(await here.isRunning({ threadId: "t" })).toBe(false);
    expect((await runToEnd(here, "t", "next", answeringAgent())).at(-1)?.type).toBe("RUN_FINISHED");
    const replay = await replayOf(here, "t");
    expect(runIdsIn(replay)).toEqual(["r", "next"]);
    expect(spokenIn(replay)).toBe("so faranswer to next");
    expect(replay).toContainEqual(expect.objectContaining({ code: "RUN_INTERRUPTED" }));
    await verifyWithClients(replay);
  });

  test.each([
    { opened: "before it", first: true },
    { opened: "after it", first: false },
  ])(
    "has its run ended by an idle process that has the file open, opened $opened",
    async ({ first }) => {
      const dbPath = tempDatabase();
      const options = { dbPath, leaseMs: 600 };
      let idle = first ? await RunnerProcess.open(options) : null;
      const { owner } = await processInMidRun(dbPath, { leaseMs: HOUR_MS });
      idle ??= await RunnerProcess.open(options);
      await owner.kill();
      expect(await idle.logged(RECOVERED)).toMatchObject({
        level: "warn",
        fields: { recovered: 1 },
      });
      const [row, ...others] = runRows(dbPath, "t");
      expect(others).toEqual([]);
      expect(typesOf(eventsOf(row)).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_ERROR"]);
      expect(eventsOf(row).at(-1)).toMatchObject({ code: "RUN_INTERRUPTED" });
      expect(valueIn(dbPath, "SELECT sum(is_running) FROM run_state")).toBe(0);
      const instances = "SELECT count(*) FROM runner_instances WHERE pid = ?";
      await eventually(() => valueIn(dbPath, instances, owner.pid) === 0);
      await idle.close();
    },
  );

  test("has each run ended once, by any number of processes", async () => {
    const dbPath = tempDatabase();
    const { owner } = await processInMidRun(dbPath);
    const more = ["t1", "t2", "t3"].map((threadId) => ({ threadId, runId: `run of ${threadId}` }));
    for (const { threadId, runId } of more) {
      await owner.run(threadId, runId).emit(started({ threadId, runId }));
    }
    await owner.flush();
    const loggers = [collectingLogger(), collectingLogger(), collectingLogger()];
    for (const logger of loggers) await openRunner({ dbPath, leaseMs: 300, logger }).ready();
    await owner.kill();
    await eventually(() => valueIn(dbPath, "SELECT sum(is_running) FROM run_state") === 0);
    const recovered = () =>
      loggers
        .flatMap(({ lines }) => lines.filter(({ message }) => message === RECOVERED))
        .reduce((sum, { fields }) => sum + (fields as { recovered: number }).recovered, 0);
    await eventually(() => recovered() === 4);
    expect(valueIn(dbPath, "SELECT count(*) FROM agent_runs")).toBe(4);
    expect(valueIn(dbPath, "SELECT count(DISTINCT run_id) FROM agent_runs")).toBe(4);
    expect(recovered()).toBe(4);
  });
});
