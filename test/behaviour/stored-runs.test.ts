import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { reduceWithClients } from "../events/clients.ts";
import { eventsOf, runRows, valueIn } from "../support/database-file.ts";
import {
  collect,
  collectingLogger,
  openRunner,
  replayOf,
  runToEnd,
  spokenIn,
  watch,
} from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };

/** An agent that emits `events` between its start and its end. */
const emitting = (events: readonly ScriptEvent[]) =>
  scriptedAgent(function* ({ input }) {
    yield started(input);
    yield* events;
    yield finished(input);
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

  test("STATE_DELTA alone as the state that it made", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const delta = [{ op: "add", path: "/count", value: 1 }];
    await runToEnd(runner, "thread", "run", emitting([{ type: "STATE_DELTA", delta }]));
    for (const { state } of await reduceWithClients(await replayOf(runner, "thread"))) {
      expect(state).toEqual({ count: 1 });
    }
  });

  const reasoning: ScriptEvent[] = [
    { type: "REASONING_START", messageId: "r" },
    { type: "REASONING_MESSAGE_START", messageId: "r", role: "reasoning" },
    ...Array.from({ length: 500 }, (_, at) => ({
      type: "REASONING_MESSAGE_CONTENT",
      messageId: "r",
      delta: `thought ${at} `,
    })),
    { type: "REASONING_MESSAGE_END", messageId: "r" },
    { type: "REASONING_END", messageId: "r" },
  ];

  test("500 reasoning deltas as one", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const emitted = await runToEnd(runner, "thread", "run", emitting(reasoning));
    expect(emitted).toHaveLength(reasoning.length + 2);
    const stored = eventsOf(runRows(dbPath, "thread")[0]);
    const content = stored.filter(({ type }) => type === "REASONING_MESSAGE_CONTENT");
    expect(content.map(({ delta }) => delta)).toEqual([
      Array.from({ length: 500 }, (_, at) => `thought ${at} `).join(""),
    ]);
    const replay = await replayOf(runner, "thread");
    expect(await reduceWithClients(replay)).toEqual(await reduceWithClients(emitted));
  });

  const raw: ScriptEvent[] = [
    { type: "RAW", event: { chunk: "as the model sent it" }, source: "model" },
    { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant", rawEvent: { chunk: 1 } },
    { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "said", rawEvent: { chunk: 2 } },
    { type: "TEXT_MESSAGE_END", messageId: "m", rawEvent: { chunk: 3 } },
  ];

  test("no RAW events and no rawEvent fields with storeRawEvents: false", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, storeRawEvents: false });
    const emitted = await runToEnd(runner, "thread", "run", emitting(raw));
    // Subscribers of the live run get these events too.
    expect(emitted.slice(1, -1)).toEqual(raw);
    expect(valueIn(dbPath, "SELECT events FROM agent_runs")).not.toMatch(/chunk|raw/i);
    expect(spokenIn(await replayOf(runner, "thread"))).toBe("said");
  });

  test("RAW events and rawEvent fields by default", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "thread", "run", emitting(raw));
    expect(eventsOf(runRows(dbPath, "thread")[0]).slice(1, -1)).toEqual(raw);
  });
});

test.each([
  ["returns nothing", () => undefined],
  ["returns a promise", async () => false],
  [
    "throws",
    () => {
      throw new Error("broken");
    },
  ],
])("a run is stored, and the mistake is logged, when storeRun %s", async (_, storeRun) => {
  const logger = collectingLogger();
  const runner = openRunner({
    dbPath: tempDatabase(),
    logger,
    storeRun: storeRun as unknown as () => boolean,
  });
  await runToEnd(runner, "t", "r", answeringAgent());
  expect(await replayOf(runner, "t")).not.toEqual([]);
  const mistakes = logger.lines.filter(({ message }) => message.includes("storeRun"));
  expect(mistakes).toMatchObject([{ level: "error", fields: { threadId: "t", runId: "r" } }]);
});

test("connect takes null for no headers", async () => {
  const runner = openRunner({ dbPath: tempDatabase() });
  await runToEnd(runner, "t", "r", answeringAgent());
  const headers = null as unknown as undefined;
  expect(await collect(runner.connect({ threadId: "t", headers }))).toEqual(
    await replayOf(runner, "t"),
  );
});
