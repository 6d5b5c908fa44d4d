import { finalizeRunEvents } from "@copilotkit/shared";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import { finalizeRun } from "../../src/events/lifecycle/finalize.ts";
import { OpenParts } from "../../src/events/lifecycle/open-parts.ts";
import { parseWithSchemas, verifyWithClients } from "./clients.ts";
import { interleavedRun } from "./random-runs.ts";

const started = { type: "RUN_STARTED", threadId: "t", runId: "r" };
const finished = { type: "RUN_FINISHED", threadId: "t", runId: "r" };
const run = { threadId: "t", runId: "r" };

function observed(events: readonly EventLike[]): OpenParts {
  const parts = new OpenParts();
  for (const event of events) parts.observe(event);
  return parts;
}

const ids = fc.constantFrom("", "1", "2");
const textOrToolEvent = fc.oneof(
  fc.record({
    type: fc.constantFrom("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"),
    messageId: ids,
  }),
  fc.record({
    type: fc.constantFrom("TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT"),
    toolCallId: ids,
  }),
);

/** Streams of text and tool events in which each part opens once, and only if it has an id. */
const textAndToolRun = fc.array(textOrToolEvent).map((events) => {
  const seen = new Set<string>();
  return events.filter((event) => {
    const id = "messageId" in event ? event.messageId : event.toolCallId;
    if (id === "") return false;
    if (!event.type.endsWith("_START")) return true;
    const key = `${event.type} ${id}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
});

describe("a run without a terminal event", () => {
  const open: EventLike[] = [
    started,
    { type: "SUBAGENT_STARTED", subagentRunId: "s", name: "helper" },
    { type: "STEP_STARTED", stepName: "tools" },
    { type: "STEP_STARTED", stepName: "tools", subagentRunId: "" },
    { type: "REASONING_START", messageId: "q" },
    { type: "REASONING_MESSAGE_START", messageId: "q", role: "reasoning" },
    { type: "THINKING_START" },
    { type: "THINKING_TEXT_MESSAGE_START" },
    { type: "TOOL_CALL_START", toolCallId: "ended", toolCallName: "a" },
    { type: "TOOL_CALL_END", toolCallId: "ended" },
    { type: "TOOL_CALL_START", toolCallId: "open", toolCallName: "b" },
    { type: "TEXT_MESSAGE_START", messageId: "", role: "assistant" },
  ];

  test("is closed: texts, then tool calls, reasoning, steps, subagents, then its terminal", async () => {
    const parts = observed(open);
    const closers = finalizeRun(parts, { ...run, stopped: true });
    const named = closers.map(({ type, messageId, toolCallId, stepName, subagentRunId }) =>
      [type, toolCallId ?? messageId ?? stepName, subagentRunId].filter((x) => x !== undefined),
    );
    expect(named).toEqual([
      ["TEXT_MESSAGE_END", ""],
      ["TOOL_CALL_RESULT", "ended"],
      ["TOOL_CALL_END", "open"],
      ["TOOL_CALL_RESULT", "open"],
      ["REASONING_MESSAGE_END", "q"],
      ["REASONING_END", "q"],
      ["THINKING_TEXT_MESSAGE_END"],
      ["THINKING_END"],
      ["STEP_FINISHED", "tools", ""],
      ["STEP_FINISHED", "tools"],
      ["SUBAGENT_FINISHED", "s"],
      ["RUN_FINISHED"],
    ]);
    expect(closers.at(-1)).toEqual(finished);
    await verifyWithClients([...open, ...closers]);
    parseWithSchemas([...open, ...closers]);
    expect(finalizeRun(parts, { ...run, stopped: true })).toEqual([]);
  });

  test("is an error unless it was stopped", async () => {
    const closers = finalizeRun(observed(open), { ...run, stopped: false, message: "no network" });
    expect(closers.at(-1)).toEqual({
      type: "RUN_ERROR",
      message: "no network",
      code: "INCOMPLETE_STREAM",
    });
    expect(closers).toContainEqual({
      type: "SUBAGENT_ERROR",
      subagentRunId: "s",
      message: "no network",
    });
    await verifyWithClients([...open, ...closers]);
    parseWithSchemas([...open, ...closers]);
  });

  test("gets no more events after its terminal event, until another run starts", () => {
    const parts = observed([...open, finished]);
    expect(parts.ended).toBe(true);
    expect(parts.any).toBe(false);
    expect(finalizeRun(parts, { ...run, stopped: false })).toEqual([]);
    parts.observe(started);
    expect(parts.ended).toBe(false);
    expect(finalizeRun(parts, { ...run, stopped: true })).toEqual([finished]);
  });

  test("is closed as finalizeRunEvents of CopilotKit closes it, but names thread and run", () => {
    const message = fc.constantFrom(undefined, "", "own words", "Run stopped by user");
    fc.assert(
      fc.property(textAndToolRun, fc.boolean(), message, (events, stopped, message) => {
        const theirs = finalizeRunEvents(structuredClone(events) as never, {
          stopRequested: stopped,
          ...(message !== undefined && { interruptionMessage: message }),
        });
        const ours = finalizeRun(observed(events), { ...run, stopped, message });
        expect(ours.slice(0, -1)).toEqual(theirs.slice(0, -1));
        expect(ours.at(-1)?.type).toBe(theirs.at(-1)?.type);
        if (!stopped && message !== "Run stopped by user") expect(ours).toEqual(theirs);
      }),
    );
  });

  test("is accepted by clients wherever it was cut off", async () => {
    await fc.assert(
      fc.asyncProperty(interleavedRun, fc.nat(), fc.boolean(), async (events, at, stopped) => {
        const prefix = events.slice(0, 1 + (at % events.length));
        const parts = observed(prefix);
        const whole = [...prefix, ...finalizeRun(parts, { ...run, stopped })];
        await verifyWithClients(whole);
        expect(parts.any).toBe(false);
      }),
      { numRuns: 300 },
    );
  });
});

test("without pendingResults, gives no results to tool calls that ended", () => {
  const call = { type: "TOOL_CALL_START", toolCallId: "c", toolCallName: "a" };
  const parts = observed([started, call, { type: "TOOL_CALL_END", toolCallId: "c" }]);
  expect(parts.any).toBe(false);
  expect(parts.close({ outcome: "failed", pendingResults: false })).toEqual([]);
  expect(parts.close({ outcome: "failed", pendingResults: true })).toMatchObject([
    { type: "TOOL_CALL_RESULT", toolCallId: "c", messageId: "c-result" },
  ]);
  expect(parts.close({ outcome: "failed", pendingResults: true })).toEqual([]);
});
