import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { parseWithSchemas, verifyWithClients } from "../events/clients.ts";
import { eventsOf, runRows, withDatabase } from "../support/database-file.ts";
import {
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const threadId = "thread";

test("pitfall 7: a tool call that is open at the terminal event is closed before it", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  const agent = scriptedAgent(function* ({ input }) {
    yield started(input);
    yield { type: "TOOL_CALL_START", toolCallId: "call", toolCallName: "search" };
    yield { type: "TOOL_CALL_ARGS", toolCallId: "call", delta: '{"query":"half' };
    yield finished(input);
  });
  await runToEnd(runner, threadId, "run", agent);
  const inOrder = [
    "RUN_STARTED",
    "TOOL_CALL_START",
    "TOOL_CALL_ARGS",
    "TOOL_CALL_END",
    "TOOL_CALL_RESULT",
    "RUN_FINISHED",
  ];
  expect(typesOf(eventsOf(runRows(dbPath, threadId)[0]))).toEqual(inOrder);
  const replay = await replayOf(runner, threadId);
  expect(typesOf(replay)).toEqual(inOrder);
  await verifyWithClients(replay);
  parseWithSchemas(replay);
});

describe("pitfall 9: history comes in pages, and other work goes on between them", () => {
  const PAGE_BYTES = 64 * 1024;

  interface Portion {
    readonly events: ScriptEvent[];
  }

  /** The events of a replay, by the turn of the event loop in which they are emitted. */
  async function portionsOf(stream: ReturnType<typeof openRunner>["connect"]): Promise<Portion[]> {
    const portions: Portion[] = [];
    let current: { events: ScriptEvent[] } | null = null;
    let isOver = false;
    const otherWork = () => {
      current = null;
      if (!isOver) setImmediate(otherWork);
    };
    setImmediate(otherWork);
    await new Promise<void>((resolve) => {
      stream({ threadId }).subscribe({
        next(event) {
          if (current === null) {
            current = { events: [] };
            portions.push(current);
          }
          current.events.push(event as unknown as ScriptEvent);
        },
        complete: resolve,
      });
    });
    isOver = true;
    return portions;
  }

  const bytesOf = (events: readonly ScriptEvent[]) => JSON.stringify(events).length;

  test("pitfall 9: many runs", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), durability: "normal" });
    for (let at = 0; at < 60; at++) {
      const agent = scriptedAgent(function* ({ input }) {
        yield started(input);
        yield { type: "CUSTOM", name: "filler", value: "x".repeat(10_000) };
        yield finished(input);
      });
      await runToEnd(runner, threadId, `run-${at}`, agent);
    }
    const portions = await portionsOf((request) => runner.connect(request));
    for (const { events } of portions) expect(bytesOf(events)).toBeLessThan(PAGE_BYTES);
    const all = portions.flatMap(({ events }) => events);
    expect(runIdsIn(all)).toEqual(Array.from({ length: 60 }, (_, at) => `run-${at}`));
    expect(portions.length).toBeGreaterThanOrEqual(Math.floor(bytesOf(all) / PAGE_BYTES));
  });

  test("pitfall 9: one run of 36 000 events", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      // None of these merges with its neighbour.
      for (let at = 0; at < 35_998; at++) yield { type: "CUSTOM", name: "tick", value: at };
      yield finished(input);
    });
    await runToEnd(runner, threadId, "run", agent);
    const portions = await portionsOf((request) => runner.connect(request));
    for (const { events } of portions) expect(bytesOf(events)).toBeLessThan(PAGE_BYTES);
    const all = portions.flatMap(({ events }) => events);
    expect(all).toHaveLength(36_000);
    const ticks = all.filter(({ name }) => name === "tick").map(({ value }) => value);
    expect(ticks).toEqual(Array.from({ length: 35_998 }, (_, at) => at));
  });

  test("pitfall 9: the recorded events of a live run", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const said = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const agent = scriptedAgent(async function* ({ input }) {
      yield started(input);
      for (let at = 0; at < 5000; at++) yield { type: "CUSTOM", name: "tick", value: at };
      said.resolve();
      await gate.promise;
      yield finished(input);
    });
    const run = watch(runner.run({ threadId, agent, input: inputOf(threadId, "run") }));
    await said.promise;
    const replayed = portionsOf((request) => runner.connect(request));
    // Wait until the replay has emitted all recorded events.
    const follower = watch(runner.connect({ threadId }));
    await follower.until(({ value }) => value === 4999);
    gate.resolve();
    await run.done;
    const portions = await replayed;
    expect(portions.flatMap(({ events }) => events)).toHaveLength(5002);
    expect(portions.length).toBeGreaterThan(5);
  });
});

test("pitfall 13: the documented purge removes only the purged runs", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (let at = 1; at <= 6; at++) {
    await runToEnd(runner, threadId, `run-${at}`, answeringAgent());
  }
  withDatabase(dbPath, (db) => {
    const old = Date.now() - 31 * 24 * 60 * 60 * 1000;
    db.prepare("UPDATE agent_runs SET created_at = ? WHERE run_id IN ('run-1', 'run-2')").run(old);
    const cutoff = Date.now() - 30 * 24 * 60 * 60 * 1000;
    db.prepare("DELETE FROM agent_runs WHERE created_at < ?").run(cutoff);
  });
  const replay = await replayOf(runner, threadId);
  expect(runIdsIn(replay)).toEqual(["run-3", "run-4", "run-5", "run-6"]);
  expect(spokenIn(replay)).toBe("answer to run-3answer to run-4answer to run-5answer to run-6");
  await runToEnd(runner, threadId, "run-7", answeringAgent());
  expect(runIdsIn(await replayOf(runner, threadId))).toHaveLength(5);
});

describe("pitfall 14: two runners on two files", () => {
  test("pitfall 14: share nothing, even for a thread of the same name", async () => {
    const one = openRunner({ dbPath: tempDatabase() });
    const other = openRunner({ dbPath: tempDatabase() });
    const agent = heldAgent();
    const run = watch(one.run({ threadId, agent, input: inputOf(threadId, "same") }));
    await agent.halfway;

    expect(await other.isRunning({ threadId })).toBe(false);
    expect(await other.stop({ threadId })).toBe(false);
    expect(await replayOf(other, threadId)).toEqual([]);
    expect(spokenIn(await runToEnd(other, threadId, "same", answeringAgent()))).toBe(
      "answer to same",
    );
    expect(agent.aborts()).toBe(0);
    expect(await one.isRunning({ threadId })).toBe(true);
    await other.close();
    agent.release();
    expect(spokenIn(await run.done)).toBe("first half, second half");
    expect(spokenIn(await replayOf(one, threadId))).toBe("first half, second half");
  });

  test("pitfall 14: two runners in memory share nothing either", async () => {
    const one = openRunner({});
    const other = openRunner({});
    await runToEnd(one, threadId, "run", answeringAgent());
    expect(await replayOf(other, threadId)).toEqual([]);
    expect(runIdsIn(await replayOf(one, threadId))).toEqual(["run"]);
  });
});

test("pitfall 18: runs with the same or a wrong time are replayed in the order in which they were stored", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  const runIds = ["c", "a", "d", "b"];
  for (const runId of runIds) await runToEnd(runner, threadId, runId, answeringAgent());
  const setTimes = (sql: string) => withDatabase(dbPath, (db) => db.exec(sql));

  setTimes("UPDATE agent_runs SET created_at = 1795376217485");
  expect(runIdsIn(await replayOf(runner, threadId))).toEqual(runIds);
  // The clock was set back while they were made.
  setTimes("UPDATE agent_runs SET created_at = 1795376217485 - id");
  expect(runIdsIn(await replayOf(runner, threadId))).toEqual(runIds);
});
