import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compactRun } from "../../src/events/compact/compact.ts";
import type { EventLike } from "../../src/events/event.ts";
import { ReplayRepair } from "../../src/events/repair/repair.ts";
import { parseWithSchemas, reduceWithClients, verifyWithClients } from "./clients.ts";
import { interleavedRun, looseEvent } from "./random-runs.ts";

const started = { type: "RUN_STARTED", threadId: "t", runId: "r" };
const finished = { type: "RUN_FINISHED", threadId: "t", runId: "r" };
const incomplete = expect.objectContaining({ type: "RUN_ERROR", code: "INCOMPLETE_STREAM" });
const textStart = { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" };
const text = { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "a" };
const textEnd = { type: "TEXT_MESSAGE_END", messageId: "m" };
const toolStart = { type: "TOOL_CALL_START", toolCallId: "c", toolCallName: "search" };
const args = { type: "TOOL_CALL_ARGS", toolCallId: "c", delta: "{}" };
const custom = { type: "CUSTOM", name: "note", value: 1 };

interface StoredRun {
  readonly events: readonly EventLike[];
  readonly live?: boolean;
}

function repaired(...runs: StoredRun[]): EventLike[] {
  const out: EventLike[] = [];
  const repair = new ReplayRepair("t", (event) => out.push(event));
  runs.forEach(({ events, live = false }, index) => {
    repair.startRun(`run-${index + 1}`, { live });
    for (const event of events) repair.next(event);
    repair.endRun();
  });
  return out;
}

const types = (events: readonly EventLike[]) => events.map((event) => event.type);

describe("a stored run", () => {
  test("that is valid is emitted as the same objects", () => {
    const events = [started, textStart, text, textEnd, custom, finished];
    const out = repaired({ events }, { events });
    expect(out).toHaveLength(2 * events.length);
    for (const [index, event] of out.entries()) expect(event).toBe(events[index % events.length]);
  });

  test("without a terminal event is closed with an error", async () => {
    const out = repaired({ events: [started, textStart, text] });
    expect(out).toEqual([started, textStart, text, textEnd, incomplete]);
    await verifyWithClients(out);
  });

  test("without a RUN_STARTED gets one", () => {
    const out = repaired({ events: [custom, finished] });
    expect(out).toEqual([{ type: "RUN_STARTED", threadId: "t", runId: "run-1" }, custom, finished]);
  });

  test("without thread and run id in its RUN_FINISHED gets the ids of its RUN_STARTED", () => {
    const bare = { type: "RUN_FINISHED" };
    expect(repaired({ events: [started, bare] })).toEqual([started, finished]);
    expect(bare).toEqual({ type: "RUN_FINISHED" });
  });

  test("that holds a second RUN_STARTED is closed before it", async () => {
    const out = repaired({ events: [started, textStart, started, finished] });
    expect(out).toEqual([started, textStart, textEnd, incomplete, started, finished]);
    await verifyWithClients(out);
  });

  test("loses the content of parts that were never opened, and values that are no events", () => {
    const junk = [null, 5, {}, { type: 5 }] as unknown as EventLike[];
    const lost = [text, textEnd, args, { type: "STEP_FINISHED", stepName: "s" }, ...junk];
    expect(repaired({ events: [started, ...lost, finished] })).toEqual([started, finished]);
  });

  test("keeps chunks and events of unknown types", () => {
    const chunk = { type: "TEXT_MESSAGE_CHUNK", messageId: "m", delta: "a" };
    const events = [started, chunk, { type: "MADE_UP" }, finished];
    expect(repaired({ events })).toEqual(events);
  });

  test("without events emits nothing", () => {
    expect(repaired({ events: [] }, { events: [text] })).toEqual([]);
  });

  test("gets the parts that version 1 stored after its terminal event emitted before it", async () => {
    const out = repaired({ events: [started, finished, toolStart, args, custom] });
    expect(types(out)).toEqual([
      "RUN_STARTED",
      "TOOL_CALL_START",
      "TOOL_CALL_ARGS",
      "CUSTOM",
      "TOOL_CALL_END",
      "TOOL_CALL_RESULT",
      "RUN_FINISHED",
    ]);
    expect(out[1]).toBe(toolStart);
    await verifyWithClients(out);
    parseWithSchemas(out);
  });

  test("loses all other events after its terminal event", () => {
    expect(repaired({ events: [started, finished, custom, finished] })).toEqual([
      started,
      finished,
    ]);
  });

  test("that opens a message twice gives the client the same message", async () => {
    const again = { ...textStart, metadata: { x: 1 } };
    const events = [started, textStart, text, again, text, textEnd, textEnd, finished];
    const out = repaired({ events });
    expect(out).toEqual([started, textStart, text, textEnd, again, text, textEnd, finished]);
    await verifyWithClients(out);
    expect(await reduceWithClients(out)).toEqual(await reduceWithClients(events));
  });

  test("with tags that contradict each other loses only those tags", async () => {
    const tagged = { ...textStart, subagentRunId: "s" };
    const events = [started, tagged, { ...text, subagentRunId: "other" }, textEnd];
    const out = repaired({ events: [...events, { ...custom, subagentRunId: null }, finished] });
    expect(out).toEqual([started, tagged, text, textEnd, custom, finished]);
    await verifyWithClients(out);
  });

  test("that ends a step with the tag of another subagent ends the step of its owner", async () => {
    const step = { type: "STEP_STARTED", stepName: "tools", subagentRunId: "s" };
    const out = repaired({ events: [started, step, { type: "STEP_FINISHED", stepName: "tools" }] });
    expect(out[2]).toEqual({ type: "STEP_FINISHED", stepName: "tools", subagentRunId: "s" });
    await verifyWithClients(out);
  });
});

describe("a live run", () => {
  test("emits its terminal event at once and drops what follows", () => {
    const out: EventLike[] = [];
    const repair = new ReplayRepair("t", (event) => out.push(event));
    repair.startRun("r", { live: true });
    for (const event of [started, finished]) repair.next(event);
    expect(out).toEqual([started, finished]);
    for (const event of [custom, toolStart, finished]) repair.next(event);
    repair.endRun();
    expect(out).toEqual([started, finished]);
  });

  test("may be followed by another run in the same stream", () => {
    const events = [started, finished, started, finished];
    expect(repaired({ events, live: true })).toEqual(events);
  });
});

describe("failing", () => {
  const failure = { code: "HISTORY_FAILED", message: "no disk" };
  const runError = { type: "RUN_ERROR", ...failure };

  async function failedAfter(events: readonly EventLike[], ended: boolean): Promise<EventLike[]> {
    const out: EventLike[] = [];
    const repair = new ReplayRepair("t", (event) => out.push(event));
    repair.startRun("run-1");
    for (const event of events) repair.next(event);
    if (ended) repair.endRun();
    repair.fail(failure);
    await verifyWithClients(out);
    return out;
  }

  test("in a run closes the run with the error", async () => {
    expect(await failedAfter([started, textStart], false)).toEqual([
      started,
      textStart,
      textEnd,
      runError,
    ]);
  });

  test("at the start, or after a run that finished, adds the error", async () => {
    expect(await failedAfter([], false)).toEqual([runError]);
    expect(await failedAfter([started, finished], true)).toEqual([started, finished, runError]);
    expect(await failedAfter([started, finished], false)).toEqual([started, finished, runError]);
  });

  test("after a run that failed adds a run that has the error", async () => {
    const error = { type: "RUN_ERROR", message: "own" };
    const announced = { type: "RUN_STARTED", threadId: "t", runId: "run-1" };
    expect(await failedAfter([started, error], true)).toEqual([
      started,
      error,
      announced,
      runError,
    ]);
  });
});

describe("for any history", () => {
  test("clients accept the output, and the input is not changed", async () => {
    const run = fc.record({
      events: fc.array(looseEvent, { maxLength: 40, size: "max" }),
      live: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(run, { maxLength: 4 }), fc.boolean(), async (runs, fails) => {
        const before = structuredClone(runs);
        const out: EventLike[] = [];
        const repair = new ReplayRepair("t", (event) => out.push(event));
        for (const { events, live } of runs) {
          repair.startRun("r", { live });
          for (const event of events) repair.next(event);
          if (!fails) repair.endRun();
        }
        if (fails) repair.fail({ code: "C", message: "m" });
        await verifyWithClients(out);
        await reduceWithClients(out);
        expect(runs).toEqual(before);
      }),
      { numRuns: 1000 },
    );
  });

  test("it does not throw at fields with any value", () => {
    const run = fc.array(
      fc
        .tuple(
          looseEvent,
          fc.dictionary(
            fc.constantFrom("outcome", "input", "messages", "subagentRunId"),
            fc.anything(),
          ),
        )
        .map(([event, fields]) => ({ ...event, ...fields })),
    );
    fc.assert(
      fc.property(run, (events) => {
        expect(() => repaired({ events })).not.toThrow();
      }),
    );
  });

  test("valid runs are emitted as the same objects, whole or compacted, stored or live", () => {
    fc.assert(
      fc.property(fc.array(interleavedRun, { maxLength: 3 }), fc.boolean(), (runs, live) => {
        const stored = runs.map((events) => compactRun(events, {}));
        for (const histories of [runs, stored]) {
          const out = repaired(...histories.map((events) => ({ events, live })));
          const expected = histories.flat();
          expect(out).toHaveLength(expected.length);
          expect(out.every((event, index) => event === expected[index])).toBe(true);
        }
      }),
    );
  });

  test("repairing the output again changes nothing", () => {
    fc.assert(
      fc.property(fc.array(looseEvent), (events) => {
        const once = repaired({ events });
        expect(repaired({ events: once })).toEqual(once);
      }),
    );
  });
});
