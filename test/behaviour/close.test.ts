import "../support/leak-guard.ts";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type SqliteAgentRunnerOptions, StoreAgentRunner } from "../../src/index.ts";
import { resolveOptions } from "../../src/runner/options.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { eventsOf, runRows } from "../support/database-file.ts";
import { MemoryRunStore } from "../support/memory-store.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { ignoreAbort, type PuppetAgent, puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started, text } from "../support/scripted-agent.ts";
import { onMessage, stall } from "../support/stall.ts";
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

  test("takes the end of a run that waits to be read when the time is over", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), closeTimeoutMs: 400 });
    const agent = puppetAgent();
    const watched = watch(runner.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids));
    const send = onMessage(() => {
      agent.emit(...text("m", "to the end"), finished(ids));
      agent.finish();
    });
    const closing = runner.close();
    send();
    stall(500);
    await closing;
    expect(spokenIn(await watched.done)).toBe("to the end");
    expect(agent.aborts()).toBe(0);
  });

  test("waits for the active run also after another run of its thread was refused", async () => {
    const runner = openRunner({
      ...{ dbPath: tempDatabase(), closeTimeoutMs: 60_000, onConcurrentRun: "reject" },
    });
    const agent = puppetAgent();
    const watched = watch(runner.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids));
    const refused = await runToEnd(runner, "t", "other", answeringAgent());
    expect(refused).toMatchObject([{ code: "THREAD_ALREADY_RUNNING" }]);
    expect(runner.stats().activeRuns).toBe(1);
    const closing = runner.close();
    await runner.flush();
    expect(agent.aborts()).toBe(0);
    agent.emit(...text("m", "to the end"), finished(ids));
    agent.finish();
    await closing;
    expect(spokenIn(await watched.done)).toBe("to the end");
    expect(runner.stats().activeRuns).toBe(0);
  });

  test("stops what is still active when half of closeTimeoutMs is over, and stores it as stopped", async () => {
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
    const runner = openRunner({ dbPath, closeTimeoutMs: 0, stopTimeoutMs: 60_000 });
    const agent = puppetAgent(onAbort);
    const watched = watch(runner.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids), ...text("m", "cut off"));
    await runner.close();
    expect(typesOf(await watched.done).at(-1)).toMatch(/^RUN_(FINISHED|ERROR)$/);
    expect(spokenIn(eventsOf(runRows(dbPath, "t")[0]))).toBe("cut off");
  });

  test("refuses new runs at once: RUN_ERROR RUNNER_CLOSED", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const closing = runner.close();
    const agent = answeringAgent();
    const refused = { type: "RUN_ERROR", code: "RUNNER_CLOSED", message: expect.any(String) };
    expect(await runToEnd(runner, "t", "r", agent)).toEqual([refused]);
    await closing;
    expect(await runToEnd(runner, "t", "r", agent)).toEqual([refused]);
    expect(agent.inputs).toEqual([]);
  });

  test("lets waiting runs have their turn, and refuses the rest when half of the time is over", async () => {
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

  test("stores runs that no caller waited for", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (let index = 0; index < 20; index++) {
      const threadId = `t${index}`;
      runner.run({ threadId, agent: answeringAgent(), input: inputOf(threadId, `r${index}`) });
    }
    await runner.close();
    for (let index = 0; index < 20; index++) expect(runRows(dbPath, `t${index}`)).toHaveLength(1);
  });

  test("leaves only the database file: the WAL is written into it", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "r", answeringAgent());
    await replayOf(runner, "t");
    expect(existsSync(`${dbPath}-wal`)).toBe(true);
    await runner.close();
    expect(readdirSync(dirname(dbPath))).toEqual(["threads.db"]);
  });

  test("returns the same promise when it is called twice", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const closing = runner.close();
    expect(runner.close()).toBe(closing);
    await closing;
    await runner.close();
  });

  test("of a runner that was never used, or is in memory, logs nothing", async () => {
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

  test("makes isRunning and stop return false, and connect give an error that the runner is closed", async () => {
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

describe("closing, as a whole, ends within closeTimeoutMs and 2 s", () => {
  afterEach(() => void vi.useRealTimers());

  /** A store that notes when it was closed, and with which time limit. */
  class ClosingStore extends MemoryRunStore {
    readonly #startedAt = performance.now();
    closedAt = -1;
    timeoutMs = -1;

    override async close(timeoutMs: number): Promise<void> {
      this.closedAt = performance.now() - this.#startedAt;
      this.timeoutMs = timeoutMs;
      await super.close(timeoutMs);
    }
  }

  /** Closes a runner with `agent` executing, on a clock that stands until `advance`. */
  async function closing(agent: PuppetAgent, options: SqliteAgentRunnerOptions = {}) {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const store = new ClosingStore();
    const logger = collectingLogger();
    const runner = new StoreAgentRunner({ ...resolveOptions({ ...options, logger }), store });
    const watched = watch(runner.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids));
    const closed = runner.close();
    return { store, watched, closed, advance: (ms: number) => vi.advanceTimersByTimeAsync(ms) };
  }

  test("by default: runs are told to stop after 3 s, and cut off after 4.5 s", async () => {
    const agent = puppetAgent(ignoreAbort);
    const { store, watched, closed, advance } = await closing(agent);
    await advance(2999);
    expect(agent.aborts()).toBe(0);
    await advance(1);
    expect(agent.aborts()).toBe(1);
    await advance(1499);
    expect(store.closedAt).toBe(-1);
    await advance(1);
    await closed;
    expect((await watched.done).at(-1)).toEqual({ type: "RUN_FINISHED", ...ids });
    expect(store).toMatchObject({ closedAt: 4500, timeoutMs: 2000 });
    // Docker's 10 s are enough for that, and for the last sync and the last checkpoint, a second each.
    expect(store.closedAt + store.timeoutMs + 2000).toBeLessThan(10_000);
  });

  test("with a longer time, in the same shares: Kubernetes waits for 30 s", async () => {
    const agent = puppetAgent(ignoreAbort);
    const { store, closed, advance } = await closing(agent, { closeTimeoutMs: 26_000 });
    await advance(13_000 + 6500);
    await closed;
    expect(store).toMatchObject({ closedAt: 19_500, timeoutMs: 6500 });
  });

  test("storing gets all the time that the agents did not use", async () => {
    const agent = puppetAgent();
    const { store, closed, advance } = await closing(agent);
    await advance(1000);
    agent.finish();
    await advance(0);
    await closed;
    expect(store).toMatchObject({ closedAt: 1000, timeoutMs: 5000 });
  });

  test.each(["ignores its abort", "rejects its abort", "never begins to emit"])(
    "a process that gets SIGTERM, whose agent %s, stores the run and exits with 0",
    async (agent) => {
      const dbPath = tempDatabase();
      const script = join(import.meta.dirname, "children/told-to-end.ts");
      const child = spawnChild(process.execPath, [script, agent, dbPath]);
      expect(await nextLine(child)).toBe("running");
      child.process.kill("SIGTERM");
      expect(await child.exited).toEqual({ code: 0, stderr: "" });
      expect(typesOf(eventsOf(runRows(dbPath, "t")[0]))).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
    },
  );
});
