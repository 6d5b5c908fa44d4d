import "../support/leak-guard.ts";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { SqliteAgentRunner } from "../../src/index.ts";
import { eventsOf, runRows, valueIn } from "../support/database-file.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runToEnd,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };

describe("when the stream has completed", () => {
  test("another connection sees the run, isRunning is false, and connect shows it", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const seen = Promise.withResolvers<{ rows: number; isRunning: Promise<boolean> }>();
    const stream = runner.run({ threadId: "t", agent: answeringAgent(), input: inputOf("t", "r") });
    stream.subscribe({
      // In the callback itself: not a tick later.
      complete: () => {
        const isRunning = runner.isRunning({ threadId: "t" });
        seen.resolve({ rows: runRows(dbPath, "t").length, isRunning });
      },
    });
    const { rows, isRunning } = await seen.promise;
    expect(rows).toBe(1);
    expect(await isRunning).toBe(false);
    expect(typesOf(await replayOf(runner, "t"))).toEqual(
      typesOf(eventsOf(runRows(dbPath, "t")[0])),
    );
    expect(valueIn(dbPath, "SELECT is_running FROM run_state WHERE thread_id = 't'")).toBe(0);
  });

  test("the run is stored: the terminal event comes before the row, the completion after it", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const agent = puppetAgent();
    const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    let completed = false;
    watched.done.then(() => {
      completed = true;
    });
    agent.emit(started(ids), finished(ids));
    agent.finish();
    await watched.until(({ type }) => type === "RUN_FINISHED");
    expect(completed).toBe(false);
    await watched.done;
    expect(runRows(dbPath, "t")).toHaveLength(1);
  });

  test("each of many runs that end at once is stored", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const threads = Array.from({ length: 100 }, (_, index) => `t${index}`);
    await Promise.all(
      threads.map(async (threadId) => {
        await runToEnd(runner, threadId, `run of ${threadId}`, answeringAgent());
        expect(await runner.isRunning({ threadId })).toBe(false);
      }),
    );
    for (const threadId of threads) expect(runRows(dbPath, threadId)).toHaveLength(1);
    expect(runner.stats().batches).toBeLessThan(100);
  });
});

describe("the store holds", () => {
  test("a row as version 1 writes it, but without a parent that might be purged", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "r1", answeringAgent());
    await runToEnd(runner, "t", "r2", answeringAgent());
    const [first, second] = runRows(dbPath, "t");
    expect(first).toMatchObject({ thread_id: "t", run_id: "r1", parent_run_id: null });
    expect(second).toMatchObject({ thread_id: "t", run_id: "r2", parent_run_id: null });
    expect(JSON.parse(second?.input ?? "")).toMatchObject({ threadId: "t", runId: "r2" });
    expect(Math.abs(Date.now() - (second?.created_at ?? 0))).toBeLessThan(60_000);
  });

  test("the agent's id, when it has one", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "r", { ...answeringAgent(), agentId: "weather" });
    expect(valueIn(dbPath, "SELECT agent_id FROM agent_runs WHERE run_id = 'r'")).toBe("weather");
  });

  test("the events of a run in flight in the journal, which is empty after the run", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const agent = puppetAgent();
    const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    agent.emit(started(ids), { type: "CUSTOM", name: "n", value: 1 });
    await runner.flush();
    const journal =
      "SELECT group_concat(events) FROM run_events WHERE thread_id = 't' AND seq >= 0";
    expect(valueIn(dbPath, journal)).toContain('"value":1');
    expect(runRows(dbPath, "t")).toEqual([]);
    agent.emit(finished(ids));
    agent.finish();
    await watched.done;
    expect(valueIn(dbPath, "SELECT count(*) FROM run_events")).toBe(0);
  });

  test("RAW events and rawEvent fields, but neither with storeRawEvents: false", async () => {
    for (const storeRawEvents of [true, false]) {
      const dbPath = tempDatabase();
      const runner = openRunner({ dbPath, storeRawEvents });
      const agent = puppetAgent();
      const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
      await agent.started;
      agent.emit(
        started(ids),
        { type: "RAW", event: { a: 1 } },
        { type: "CUSTOM", name: "n", value: 1, rawEvent: { b: 2 } },
        finished(ids),
      );
      agent.finish();
      // The client sees them either way.
      expect(typesOf(await watched.done)).toContain("RAW");
      const stored = eventsOf(runRows(dbPath, "t")[0]);
      expect(typesOf(stored).includes("RAW")).toBe(storeRawEvents);
      expect(stored.some((event) => "rawEvent" in event)).toBe(storeRawEvents);
    }
  });
});

test("when too much is unwritten, new runs are refused with QUEUE_FULL, and accepted again later", async () => {
  const runner = openRunner({ dbPath: tempDatabase(), maxPendingBytes: 1, lingerMs: 60_000 });
  const agent = puppetAgent();
  const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
  await agent.started;
  agent.emit(started(ids));
  const refused = await runToEnd(runner, "t2", "r2", answeringAgent());
  expect(refused).toEqual([
    { type: "RUN_ERROR", code: "QUEUE_FULL", message: expect.stringMatching(/\S/) },
  ]);
  agent.emit(finished(ids));
  agent.finish();
  await watched.done;
  expect((await runToEnd(runner, "t2", "r2", answeringAgent())).at(-1)?.type).toBe("RUN_FINISHED");
});

test("when the file cannot be opened, the logger, every run and every connect get the reason", async () => {
  const logger = collectingLogger();
  const file = tempDatabase();
  writeFileSync(file, "");
  const runner = openRunner({ dbPath: join(file, "below a file.db"), logger });
  const agent = answeringAgent();
  const events = await runToEnd(runner, "t", "r", agent);
  expect(events).toEqual([
    { type: "RUN_ERROR", code: expect.stringMatching(/^[A-Z_]+$/), message: expect.any(String) },
  ]);
  expect(agent.inputs).toEqual([]);
  expect(await replayOf(runner, "t")).toEqual([
    expect.objectContaining({ type: "RUN_ERROR", code: events[0]?.code }),
  ]);
  expect(logger.lines.some(({ message }) => message === "cannot open the database")).toBe(true);
});

test("a runner in memory behaves the same, as long as it lives", async () => {
  const runner = openRunner({ dbPath: ":memory:" });
  expect(runner).toBeInstanceOf(SqliteAgentRunner);
  const live = await runToEnd(runner, "t", "r", answeringAgent());
  expect(live.at(-1)?.type).toBe("RUN_FINISHED");
  expect(typesOf(await replayOf(runner, "t"))).toContain("TEXT_MESSAGE_CONTENT");
});
