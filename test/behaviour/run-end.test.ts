import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { parseWithSchemas, verifyWithClients } from "../events/clients.ts";
import { eventsOf, runRows } from "../support/database-file.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runToEnd,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  finished,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const threadId = "t";
const ids = { threadId, runId: "r" };

/** One part of every kind, in another order than that of their ends. */
const openParts: readonly ScriptEvent[] = [
  { type: "STEP_STARTED", stepName: "step" },
  { type: "REASONING_START", messageId: "thought" },
  { type: "REASONING_MESSAGE_START", messageId: "thought", role: "reasoning" },
  { type: "TOOL_CALL_START", toolCallId: "call1", toolCallName: "search" },
  { type: "TOOL_CALL_ARGS", toolCallId: "call1", delta: "{" },
  { type: "TEXT_MESSAGE_START", messageId: "text1", role: "assistant" },
  { type: "TOOL_CALL_START", toolCallId: "call2", toolCallName: "search" },
  { type: "TEXT_MESSAGE_START", messageId: "text2", role: "assistant" },
];

const closers = [
  ["TEXT_MESSAGE_END", "text1"],
  ["TEXT_MESSAGE_END", "text2"],
  ["TOOL_CALL_END", "call1"],
  ["TOOL_CALL_RESULT", "call1"],
  ["TOOL_CALL_END", "call2"],
  ["TOOL_CALL_RESULT", "call2"],
  ["REASONING_MESSAGE_END", "thought"],
  ["REASONING_END", "thought"],
  ["STEP_FINISHED", "step"],
];

const named = (event: ScriptEvent) => [
  event.type,
  event.toolCallId ?? event.messageId ?? event.stepName,
];

async function running() {
  const dbPath = tempDatabase();
  const logger = collectingLogger();
  const runner = openRunner({ dbPath, logger });
  const agent = puppetAgent();
  const watched = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
  await agent.started;
  return { dbPath, logger, runner, agent, watched };
}

describe("an agent that ends without a terminal event gets", () => {
  test("RUN_ERROR with the code INCOMPLETE_STREAM, when it was not stopped", async () => {
    const { runner, agent, watched } = await running();
    agent.emit(started(ids), ...text("m", "and then nothing"));
    agent.finish();
    const events = await watched.done;
    expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "INCOMPLETE_STREAM" });
    expect(events.at(-1)?.message).toMatch(/\S/);
    expect((await replayOf(runner, "t")).at(-1)).toEqual(events.at(-1));
  });

  test("its open parts closed: texts, then each tool call's end and result, reasoning, steps", async () => {
    const { dbPath, runner, agent, watched } = await running();
    agent.emit(started(ids), ...openParts);
    await runner.stop({ threadId: "t" });
    const events = await watched.done;
    expect(events.slice(1 + openParts.length, -1).map(named)).toEqual(closers);
    expect(events.at(-1)).toEqual({ type: "RUN_FINISHED", ...ids });
    await verifyWithClients(events);
    parseWithSchemas(events);
    const stored = eventsOf(runRows(dbPath, "t")[0]);
    await verifyWithClients(stored);
    expect(stored.at(-1)).toEqual(events.at(-1));
    await verifyWithClients(await replayOf(runner, "t"));
  });

  test("the same closers before RUN_ERROR, when it failed", async () => {
    const { agent, watched } = await running();
    agent.emit(started(ids), ...openParts);
    agent.fail(new Error("lost the model"));
    const events = await watched.done;
    expect(events.slice(1 + openParts.length, -1).map(named)).toEqual(closers);
    expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", message: "lost the model" });
    await verifyWithClients(events);
  });
});

describe("nothing is ever appended after a terminal event", () => {
  test.each([finished(ids), { type: "RUN_ERROR", message: "the agent's own", code: "ITS_OWN" }])(
    "when the agent ends without an error after its $type",
    async (terminal) => {
      const { dbPath, agent, watched } = await running();
      agent.emit(started(ids), terminal);
      agent.finish();
      const events = await watched.done;
      expect(typesOf(events)).toEqual(["RUN_STARTED", terminal.type]);
      expect(events.at(-1)).toBe(terminal);
      expect(typesOf(eventsOf(runRows(dbPath, "t")[0]))).toEqual(["RUN_STARTED", terminal.type]);
    },
  );

  test("when the agent throws after its terminal event", async () => {
    const { agent, watched } = await running();
    agent.emit(started(ids), finished(ids));
    agent.fail(new Error("on the way out"));
    expect(typesOf(await watched.done)).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
  });

  test("when the run was stopped after its terminal event", async () => {
    const { runner, agent, watched } = await running();
    agent.emit(started(ids), finished(ids));
    expect(await runner.stop({ threadId: "t" })).toBe(true);
    expect(typesOf(await watched.done)).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
  });

  test("when the agent emits after it: such events are ignored, and logged once", async () => {
    const { dbPath, logger, agent, watched } = await running();
    agent.emit(started(ids), finished(ids), ...text("m", "late"), finished(ids));
    agent.finish();
    expect(typesOf(await watched.done)).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
    expect(typesOf(eventsOf(runRows(dbPath, "t")[0]))).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
    expect(logger.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
  });

  test("when the agent emits after its run is over and the next run has begun", async () => {
    const { runner, agent, watched } = await running();
    agent.emit(started(ids), finished(ids));
    agent.finish();
    await watched.done;
    const next = puppetAgent();
    const later = watch(runner.run({ threadId: "t", agent: next, input: inputOf("t", "r2") }));
    await next.started;
    agent.emit(...text("m", "from the grave"));
    next.emit(started({ threadId: "t", runId: "r2" }));
    next.emit(finished({ threadId: "t", runId: "r2" }));
    next.finish();
    expect(typesOf(await later.done)).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
    expect(typesOf(await replayOf(runner, "t"))).not.toContain("TEXT_MESSAGE_START");
  });
});

test("a tool call that is open at the terminal event is closed before it", async () => {
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
