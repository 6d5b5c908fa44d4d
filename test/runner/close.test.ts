import "../support/leak-guard.ts";
import { existsSync, readdirSync } from "node:fs";
import { dirname } from "node:path";
import { describe, expect, test } from "vitest";
import { eventsOf, runRows } from "../support/database-file.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { ignoreAbort, puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };
const request = (runId: string) => ({ threadId: "t", input: inputOf("t", runId) });

describe("close", () => {
  test("waits for the runs that are active, and stores them", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, closeTimeoutMs: 60_000 });
    const agent = puppetAgent();
    const watched = watch(runner.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids));
    let closed = false;
    const closing = runner.close().then(() => {
      closed = true;
    });
    await runner.flush();
    expect(closed).toBe(false);
    expect(agent.aborts()).toBe(0);
    agent.emit(...text("m", "to the end"), finished(ids));
    agent.finish();
    await closing;
    expect(spokenIn(await watched.done)).toBe("to the end");
    expect(spokenIn(eventsOf(runRows(dbPath, "t")[0]))).toBe("to the end");
  });

  test("stops what is still active after closeTimeoutMs, and stores it as stopped", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, closeTimeoutMs: 0 });
    const agent = puppetAgent();
    const watched = watch(runner.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids), ...text("m", "cut short"));
    await runner.close();
    expect(agent.aborts()).toBe(1);
    expect((await watched.done).at(-1)).toEqual({ type: "RUN_FINISHED", ...ids });
    expect(spokenIn(eventsOf(runRows(dbPath, "t")[0]))).toBe("cut short");
  });

  test.each([
    ["ignores its abort", ignoreAbort],
    [
      "throws in abortRun",
      () => {
        throw new Error("cannot abort");
      },
    ],
  ])("ends and stores a run whose agent %s", async (_, onAbort) => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, closeTimeoutMs: 0, stopTimeoutMs: 0 });
    const agent = puppetAgent(onAbort);
    const watched = watch(runner.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids), ...text("m", "cut off"));
    await runner.close();
    expect(typesOf(await watched.done).at(-1)).toMatch(/^RUN_(FINISHED|ERROR)$/);
    expect(spokenIn(eventsOf(runRows(dbPath, "t")[0]))).toBe("cut off");
  });

  test("takes no more runs from its first tick on: RUN_ERROR, code RUNNER_CLOSED", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const closing = runner.close();
    const agent = answeringAgent();
    const refused = { type: "RUN_ERROR", code: "RUNNER_CLOSED", message: expect.any(String) };
    expect(await runToEnd(runner, "t", "r", agent)).toEqual([refused]);
    await closing;
    expect(await runToEnd(runner, "t", "r", agent)).toEqual([refused]);
    expect(agent.inputs).toEqual([]);
  });

  test("lets runs that wait in the queue have their turn, and refuses them when time is up", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, onConcurrentRun: "enqueue", closeTimeoutMs: 0 });
    const agent = puppetAgent();
    const first = watch(runner.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids));
    const waiting = puppetAgent();
    const second = watch(runner.run({ ...request("r2"), agent: waiting }));
    await runner.close();
    expect(typesOf(await first.done).at(-1)).toBe("RUN_FINISHED");
    expect(await second.done).toEqual([expect.objectContaining({ code: "RUNNER_CLOSED" })]);
    expect(waiting.isStarted()).toBe(false);
    expect(runRows(dbPath, "t")).toHaveLength(1);
  });

  test("stores what nobody waited for", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (let index = 0; index < 20; index++) {
      const threadId = `t${index}`;
      runner.run({ threadId, agent: answeringAgent(), input: inputOf(threadId, `r${index}`) });
    }
    await runner.close();
    for (let index = 0; index < 20; index++) expect(runRows(dbPath, `t${index}`)).toHaveLength(1);
  });

  test("leaves one file behind: its WAL is written into it", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "r", answeringAgent());
    await replayOf(runner, "t");
    expect(existsSync(`${dbPath}-wal`)).toBe(true);
    await runner.close();
    expect(readdirSync(dirname(dbPath))).toEqual(["threads.db"]);
  });

  test("twice is once: the same promise", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const closing = runner.close();
    expect(runner.close()).toBe(closing);
    await closing;
    await runner.close();
  });

  test("of a runner that was never used, and of one in memory, is quiet", async () => {
    for (const dbPath of [tempDatabase(), ":memory:"]) {
      const logger = collectingLogger();
      await openRunner({ dbPath, logger }).close();
      expect(logger.lines.filter(({ level }) => level !== "debug")).toEqual([]);
    }
  });

  test("is what `await using` calls", async () => {
    const dbPath = tempDatabase();
    let other: ReturnType<typeof openRunner>;
    {
      await using runner = openRunner({ dbPath });
      other = runner;
      runner.run({ ...request("r"), agent: answeringAgent() });
    }
    expect(runRows(dbPath, "t")).toHaveLength(1);
    expect((await runToEnd(other, "t", "r2", answeringAgent()))[0]?.code).toBe("RUNNER_CLOSED");
  });

  test("after it, isRunning and stop say false, and connect says that the runner is closed", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r", answeringAgent());
    await runner.close();
    expect(await runner.isRunning({ threadId: "t" })).toBe(false);
    expect(await runner.stop({ threadId: "t" })).toBe(false);
    expect(await replayOf(runner, "t")).toEqual([
      expect.objectContaining({ type: "RUN_ERROR", code: "RUNNER_CLOSED" }),
    ]);
  });
});
