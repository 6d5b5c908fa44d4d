import { expect, test } from "vitest";
import type { EventItem } from "../../src/inspector/api.ts";
import { withDatabase } from "../support/database-file.ts";
import { Inspector } from "../support/inspector.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { processInMidRun } from "../support/runner-process.ts";
import {
  answeringAgent,
  finished,
  type Script,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** A file with one run "r" on the thread "t", and the inspector on it. */
async function inspectorOn(script: Script, before: readonly Script[] = []) {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (const [at, earlier] of before.entries()) {
    await runToEnd(runner, "t", `before-${at}`, scriptedAgent(earlier));
  }
  await runToEnd(runner, "t", "r", scriptedAgent(script));
  await runner.close();
  const inspector = await Inspector.start(dbPath);
  const { runs } = await inspector.get("api/runs", { thread: "t" });
  const query = { thread: "t", epoch: String(runs.at(-1)?.epoch), run: "r" };
  return { inspector, query };
}

const T0 = 1_700_000_000_000;

const worker: Script = function* ({ input }) {
  yield { ...started(input), timestamp: T0 };
  yield { type: "STEP_STARTED", stepName: "look", timestamp: T0 + 10 };
  yield { type: "REASONING_START", messageId: "think" };
  yield { type: "REASONING_MESSAGE_START", messageId: "think", role: "reasoning" };
  yield { type: "REASONING_MESSAGE_CONTENT", messageId: "think", delta: "Hm." };
  yield { type: "REASONING_MESSAGE_END", messageId: "think" };
  yield { type: "REASONING_END", messageId: "think" };
  yield { type: "TOOL_CALL_START", toolCallId: "c", toolCallName: "search", timestamp: T0 + 20 };
  yield { type: "TOOL_CALL_ARGS", toolCallId: "c", delta: '{"q":1}' };
  yield { type: "TOOL_CALL_END", toolCallId: "c", timestamp: T0 + 30 };
  yield {
    type: "TOOL_CALL_RESULT",
    messageId: "res",
    toolCallId: "c",
    content: "found",
    timestamp: T0 + 90,
  };
  yield { type: "STEP_FINISHED", stepName: "look", timestamp: T0 + 95 };
  yield { type: "STEP_STARTED", stepName: "look" };
  yield { type: "STEP_FINISHED", stepName: "look" };
  yield { type: "STATE_SNAPSHOT", snapshot: { count: 1 }, timestamp: T0 + 96 };
  yield { type: "STATE_DELTA", delta: [{ op: "replace", path: "/count", value: 2 }] };
  yield { type: "CUSTOM", name: "note", value: 1 };
  yield { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant", timestamp: T0 + 100 };
  yield { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "It is ", timestamp: T0 + 110 };
  yield { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "there.", timestamp: T0 + 120 };
  yield { type: "TEXT_MESSAGE_END", messageId: "m", timestamp: T0 + 130 };
  yield { ...finished(input), usage: [{ inputTokens: 10, outputTokens: 3 }] };
};

test("a run has its times, counts, tokens and input", async () => {
  const { inspector, query } = await inspectorOn(worker);
  const answer = await inspector.get("api/run", query);
  expect(answer).toMatchObject({
    run: { runId: "r", outcome: "finished", isRecovered: false },
    live: null,
    times: { startedAt: T0, endedAt: expect.any(Number) },
    ...{ toolCalls: 1, messages: 1, tokens: { input: 10, output: 3 }, error: null },
    ...{ previous: null, next: null },
  });
  // The deltas of the message are merged, and what was said of the state.
  expect(answer.events).toBe(20);
  expect(answer.types.reduce((sum, { events }) => sum + events, 0)).toBe(20);
  expect(answer.types.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(answer.eventBytes);
  const { input } = await inspector.get("api/run/input", query);
  expect(input).toMatchObject({ threadId: "t", runId: "r", messages: [{ role: "user" }] });
});

test("a run is a timeline of steps, messages, reasoning and tool calls, with times where events have them", async () => {
  const { inspector, query } = await inspectorOn(worker);
  const { spans, marks, isTimed, isCut, events } = await inspector.get("api/run/timeline", query);
  expect([isTimed, isCut, events]).toEqual([true, false, 20]);
  expect(spans.map(({ kind, label, parent, isOpen }) => [kind, label, parent, isOpen])).toEqual([
    ["run", expect.anything(), null, false],
    ["step", "look", 0, false],
    ["reasoning", "reasoning", 1, false],
    ["tool", "search", 1, false],
    ["step", "look", 0, false],
    ["message", "assistant", 0, false],
  ]);
  const [run, step, reasoning, tool, again, message] = spans;
  expect([run?.from, run?.to]).toEqual([0, 19]);
  expect([step?.startedAt, step?.durationMs]).toEqual([T0 + 10, 85]);
  expect([reasoning?.startedAt, reasoning?.durationMs, reasoning?.preview]).toEqual([
    null,
    null,
    "Hm.",
  ]);
  expect([tool?.durationMs, tool?.preview]).toEqual([70, '{"q":1} → found']);
  expect(again?.startedAt).toBeNull();
  expect([message?.durationMs, message?.preview]).toEqual([30, "It is there."]);
  expect(marks.map(({ type, label }) => [type, label])).toEqual([
    ["CUSTOM", "note"],
    ["STATE_SNAPSHOT", ""],
  ]);
});

test("what a run did to the state and to the messages is told", async () => {
  const earlier: Script = function* ({ input }) {
    yield started(input);
    yield { type: "STATE_SNAPSHOT", snapshot: { count: 0, kept: true } };
    yield* text("old", "before");
    yield finished(input);
  };
  const { inspector, query } = await inspectorOn(worker, [earlier]);
  const state = await inspector.get("api/run/state", query);
  expect(state).toMatchObject({ before: { count: 0, kept: true }, after: { count: 2 }, total: 1 });
  expect(state.changes).toMatchObject([{ kind: "snapshot", value: { count: 2 } }]);
  const { event } = (
    await inspector.get("api/run/event", { ...query, index: String(state.changes[0]?.index) })
  ).item;
  expect(event.type).toBe("STATE_SNAPSHOT");
  const messages = await inspector.get("api/run/messages", query);
  expect(messages.before).toBeGreaterThan(0);
  expect(messages.added.map(({ id }) => id)).toContain("m");
  expect(messages.added.map(({ id }) => id)).not.toContain("old");
  expect([messages.changed, messages.removed]).toEqual([[], []]);
});

test("a failed run has its error, and an interrupted run its interrupts", async () => {
  const failing: Script = function* ({ input }) {
    yield started(input);
    yield { type: "RUN_ERROR", message: "the model is gone", code: "NO_MODEL" };
  };
  const failed = await inspectorOn(failing);
  expect(await failed.inspector.get("api/run", failed.query)).toMatchObject({
    run: { outcome: "error", errorCode: "NO_MODEL" },
    error: { code: "NO_MODEL", message: "the model is gone" },
  });
  const asking: Script = function* ({ input }) {
    yield started(input);
    const interrupts = [{ id: "i", reason: "approval" }];
    yield { ...finished(input), outcome: { type: "interrupt", interrupts } };
  };
  const asked = await inspectorOn(asking);
  expect(await asked.inspector.get("api/run", asked.query)).toMatchObject({
    run: { outcome: "interrupt" },
    interrupts: [{ id: "i", reason: "approval" }],
  });
});

const COUNT = 36_000;

test("a run of 36 000 events is read page by page, each of bounded length", async () => {
  const { inspector, query } = await inspectorOn(function* ({ input }) {
    yield started(input);
    for (let at = 0; at < COUNT; at++) {
      yield { type: "CUSTOM", name: `event ${at}`, value: "x".repeat(at % 1000 === 0 ? 3000 : 30) };
    }
    yield { type: "CUSTOM", name: "long", value: "y".repeat(100_000) };
    yield finished(input);
  });
  const total = COUNT + 3;
  for (const from of ["0", "17000", String(total - 10)]) {
    const { body, bytes } = await inspector.tryGet("run/events", { ...query, from, limit: "1000" });
    const page = body as { events: EventItem[]; total: number; next: number | null };
    expect(bytes).toBeLessThan(600 * 1024);
    expect([page.total, page.events[0]?.index]).toEqual([total, Number(from)]);
    expect(page.next).toBe(Number(from) + 1000 < total ? Number(from) + 1000 : null);
  }
  const found = await inspector.get("api/run/events", { ...query, search: "EVENT 35999" });
  expect([found.matches, found.events[0]?.index, found.next]).toEqual([1, COUNT, null]);
  const ends = await inspector.get("api/run/events", {
    ...query,
    types: "RUN_STARTED,RUN_FINISHED",
  });
  expect(ends.events.map(({ index }) => index)).toEqual([0, total - 1]);
  const second = await inspector.get("api/run/events", {
    ...query,
    types: "CUSTOM",
    from: "5",
    limit: "2",
  });
  expect([second.events.map(({ index }) => index), second.next]).toEqual([[5, 6], 7]);
  const { events } = await inspector.get("api/run/events", { ...query, from: String(COUNT + 1) });
  expect(events[0]).toMatchObject({ event: null, preview: expect.stringContaining('"long"') });
  const { item } = await inspector.get("api/run/event", { ...query, index: String(COUNT + 1) });
  expect(item.event.value).toHaveLength(100_000);
});

test("a page of long events ends early", async () => {
  const { inspector, query } = await inspectorOn(function* ({ input }) {
    yield started(input);
    for (let at = 0; at < 100; at++) yield { type: "CUSTOM", name: "n", value: "x".repeat(30_000) };
    yield finished(input);
  });
  const indexes: number[] = [];
  let from: number | null = 0;
  while (from !== null) {
    const { body, bytes } = await inspector.tryGet("run/events", { ...query, from: String(from) });
    expect(bytes).toBeLessThan(600 * 1024);
    const page = body as { events: EventItem[]; next: number | null };
    indexes.push(...page.events.map(({ index }) => index));
    from = page.next;
  }
  expect(indexes).toEqual(Array.from({ length: 102 }, (_, at) => at));
});

test("runs of dead processes are told as recovered", async () => {
  const db = tempDatabase();
  const { owner } = await processInMidRun(db);
  await owner.kill();
  const inspector = await Inspector.start(db);
  const { threads } = await inspector.get("api/recovered", {});
  expect(threads.map(({ id }) => id)).toEqual(["t"]);
  const { runs } = await inspector.get("api/runs", { thread: "t" });
  expect(runs).toMatchObject([{ runId: "r", isRecovered: true, errorCode: "RUN_INTERRUPTED" }]);
  const { error } = await inspector.get("api/run", { thread: "t", epoch: String(runs[0]?.epoch) });
  expect(error?.code).toBe("RUN_INTERRUPTED");
});

test("the database is named, with its size", async () => {
  const dbPath = tempDatabase();
  await runToEnd(openRunner({ dbPath }), "t", "r", answeringAgent());
  const inspector = await Inspector.start(dbPath);
  const { kind, name, file, version } = await inspector.get("api/database", {});
  expect([kind, name]).toEqual(["sqlite", dbPath]);
  expect(version).toMatch(/^\d+\.\d+\.\d+/);
  expect(file?.bytes).toBeGreaterThan(0);
});

test("a run of another program whose events are no events is shown", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await runToEnd(runner, "t", "r", answeringAgent());
  await runner.close();
  const events = '[null,5,"text",[],{"type":7},{"type":"TEXT_MESSAGE_START"}]';
  withDatabase(dbPath, (db) => db.prepare("UPDATE agent_runs SET events = ?").run(events));
  const inspector = await Inspector.start(dbPath);
  const query = { thread: "t", epoch: "1", run: "r" };
  expect((await inspector.get("api/run", query)).events).toBe(6);
  const { spans } = await inspector.get("api/run/timeline", query);
  expect(spans.map(({ kind, to }) => [kind, to])).toEqual([
    ["run", 5],
    ["message", 5],
  ]);
  await inspector.end();
});
