import { compactEvents } from "@ag-ui/client";
import fc from "fast-check";
import { escapePathComponent } from "fast-json-patch";
import { describe, expect, test } from "vitest";
import { compactRun, RunCompactor } from "../../src/events/compact/compact.ts";
import type { EventLike } from "../../src/events/event.ts";
import { ThreadView } from "../../src/events/view/thread-view.ts";
import { parseWithSchemas, reduceWithClients, verifyWithClients } from "./clients.ts";
import { interleavedRun, looseEvent, plainRun, threadState } from "./random-runs.ts";

const started = { type: "RUN_STARTED", threadId: "t", runId: "r" };
const finished = { type: "RUN_FINISHED", threadId: "t", runId: "r" };
const textStart = { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" };
const textEnd = { type: "TEXT_MESSAGE_END", messageId: "m" };
const text = (delta: unknown, fields: object = {}): EventLike => ({
  type: "TEXT_MESSAGE_CONTENT",
  messageId: "m",
  delta,
  ...fields,
});
const custom = { type: "CUSTOM", name: "note", value: 1 };
const types = (events: readonly EventLike[]) => events.map((event) => event.type);

describe("deltas", () => {
  test("of one message merge into the first delta, across events that do not affect the message", () => {
    const events = [started, textStart, text("a"), custom, text("b"), text("c"), textEnd, finished];
    expect(compactRun(events, {})).toEqual([
      started,
      textStart,
      text("abc"),
      custom,
      textEnd,
      finished,
    ]);
  });

  test("do not merge across a snapshot of the messages", () => {
    const snapshot = { type: "MESSAGES_SNAPSHOT", messages: [{ id: "m", role: "assistant" }] };
    const events = [
      started,
      textStart,
      text("a"),
      snapshot,
      text("b"),
      text("c"),
      textEnd,
      finished,
    ];
    expect(compactRun(events, {})).toEqual([
      started,
      textStart,
      text("a"),
      snapshot,
      text("bc"),
      textEnd,
      finished,
    ]);
  });

  test.each([
    started,
    finished,
    textStart,
    textEnd,
    { type: "REASONING_MESSAGE_CONTENT", messageId: "m", delta: "x" },
    { type: "REASONING_MESSAGE_START", messageId: "m", role: "reasoning" },
    { type: "REASONING_ENCRYPTED_VALUE", subtype: "message", entityId: "m", encryptedValue: "x" },
    { type: "ACTIVITY_SNAPSHOT", messageId: "m", activityType: "A", content: {} },
    { type: "ACTIVITY_DELTA", messageId: "m", activityType: "A", patch: [] },
    { type: "TOOL_CALL_RESULT", messageId: "m", toolCallId: "c", content: "" },
    { type: "TOOL_CALL_START", toolCallId: "c", toolCallName: "f", parentMessageId: "m" },
    { type: "TOOL_CALL_START", toolCallId: "m", toolCallName: "f" },
    { type: "TEXT_MESSAGE_CHUNK", delta: "x" },
  ])("do not merge across an event that affects their message: $type", (between) => {
    const events: EventLike[] = [text("a"), between];
    if (between === finished) events.push(started);
    events.push(text("b"));
    const isText = ({ type }: EventLike) => type === "TEXT_MESSAGE_CONTENT";
    expect(compactRun(events, {}).filter(isText)).toEqual([text("a"), text("b")]);
  });

  test("keep the first timestamp, merge their metadata and keep every raw event", () => {
    const events = [
      started,
      textStart,
      text("a", { timestamp: 1, metadata: { x: 1, y: 1 } }),
      text("b", { timestamp: 2, metadata: { x: 2 }, rawEvent: { raw: "b" } }),
      text("c", { timestamp: 3, rawEvent: { raw: "c" } }),
      textEnd,
    ];
    expect(compactRun(events, {})[2]).toEqual(
      text("abc", {
        timestamp: 1,
        metadata: { x: 2, y: 1 },
        rawEvent: [{ raw: "b" }, { raw: "c" }],
      }),
    );
  });

  test("with a single raw event keep it unchanged", () => {
    const events = [text("a"), text("b", { rawEvent: { raw: "b" } })];
    expect(compactRun(events, {})).toEqual([text("ab", { rawEvent: { raw: "b" } })]);
  });

  test("that differ in another field, or are no strings, are not merged", () => {
    const events = [
      text("a"),
      text("b", { subagentRunId: "s" }),
      text("c", { subagentRunId: "s", seen: { by: [1] } }),
      text("d", { subagentRunId: "s", seen: { by: [1] } }),
      text(5),
      text("e"),
      text("f", { metadata: null }),
    ];
    const [a, b, c, , five, e, f] = events;
    const cd = { ...c, delta: "cd" };
    expect(compactRun(events, {})).toEqual([a, b, cd, five, e, f]);
  });

  test("of tool calls and reasoning merge by their own ids when they interleave", () => {
    const args = (toolCallId: string, delta: string) => ({
      type: "TOOL_CALL_ARGS",
      toolCallId,
      delta,
    });
    const thought = (messageId: string, delta: string) => ({
      type: "REASONING_MESSAGE_CONTENT",
      messageId,
      delta,
    });
    const thinking = (delta: string) => ({ type: "THINKING_TEXT_MESSAGE_CONTENT", delta });
    const events = [args("1", "a"), thought("q", "x"), args("2", "b"), thinking("t")];
    const more = [args("1", "c"), thinking("u"), thought("q", "y"), args("2", "d")];
    expect(compactRun([...events, ...more], {})).toEqual([
      args("1", "ac"),
      thought("q", "xy"),
      args("2", "bd"),
      thinking("tu"),
    ]);
  });
});

describe("state", () => {
  const delta = (...operations: object[]) => ({ type: "STATE_DELTA", delta: operations });
  const add = (path: string, value: unknown) => ({ op: "add", path, value });
  const snapshot = (value: unknown) => ({ type: "STATE_SNAPSHOT", snapshot: value });

  test("becomes one snapshot right before the terminal event", () => {
    const events = [started, snapshot({ a: 1 }), custom, delta(add("/b", 2)), custom, finished];
    expect(compactRun(events, {})).toEqual([
      started,
      custom,
      custom,
      snapshot({ a: 1, b: 2 }),
      finished,
    ]);
  });

  test("without a snapshot starts from the thread's state, or else from the run's input", () => {
    const startedWithInput = { ...started, input: { state: { in: 1 } } };
    const events = [startedWithInput, delta(add("/b", 2)), finished];
    expect(compactRun(events, { state: { base: 1 } })[1]).toEqual(snapshot({ base: 1, b: 2 }));
    expect(compactRun(events, {})[1]).toEqual(snapshot({ in: 1, b: 2 }));
  });

  test("of which nothing is known before the run stays what the deltas say", () => {
    const startedWithNothing = { ...started, input: { state: {} } };
    const events = [startedWithNothing, delta(add("/b", { n: 1 })), delta(add("/b/m", 2))];
    const passing = [delta(add("/c", 1)), delta({ op: "remove", path: "/c" })];
    const expected = delta(add("/b", { n: 1, m: 2 }), add("/c", null), {
      op: "remove",
      path: "/c",
    });
    expect(compactRun([...events, ...passing], { state: {} })).toEqual([
      startedWithNothing,
      expected,
    ]);
    // What refers to a state that the client may hold stays as it is.
    const referring = [...events, delta({ op: "replace", path: "/held", value: 1 })];
    expect(compactRun(referring, { state: {} })).toEqual(referring);
  });

  test("after the run is the same, whatever the client held", () => {
    const field = fc.constantFrom("a", "b", "/", "~", "c");
    const path = fc
      .array(field, { minLength: 1, maxLength: 2 })
      .map((names) => names.map((name) => `/${escapePathComponent(name)}`).join(""));
    const value = fc.oneof(fc.integer(), fc.constant({}), fc.constant({ a: 1 }));
    const operation = fc.oneof(
      { weight: 9, arbitrary: fc.record({ op: fc.constant("add"), path, value }) },
      fc.record({ op: fc.constantFrom("add", "replace", "test"), path, value }),
      fc.record({ op: fc.constant("remove"), path }),
      fc.record({ op: fc.constantFrom("move", "copy"), path, from: path }),
    );
    const deltas = fc.array(fc.array(operation, { minLength: 1, maxLength: 2 }), { maxLength: 4 });
    const held = fc.dictionary(fc.constantFrom("a", "b", "c"), value);
    const stateAfter = (state: object, events: readonly EventLike[]) => {
      const view = new ThreadView();
      view.apply({ type: "STATE_SNAPSHOT", snapshot: structuredClone(state) });
      for (const event of events) view.apply(structuredClone(event));
      return view.state;
    };
    let merged = 0;
    fc.assert(
      fc.property(held, deltas, (state, patches) => {
        const events = [started, ...patches.map((patch) => delta(...patch)), finished];
        const compacted = compactRun(events, { state: {} });
        if (compacted.length < events.length) merged++;
        expect(stateAfter(state, compacted)).toEqual(stateAfter(state, events));
      }),
      { numRuns: 3000 },
    );
    expect(merged).toBeGreaterThan(20);
  });

  test("applies a patch whole or not at all", () => {
    const events = [
      snapshot({ a: { n: 1 } }),
      delta(add("/b", { deep: 1 }), add("/b/more", 2)),
      delta(add("/c", 3), { op: "remove", path: "/missing" }),
      delta(add("/b/last", 4)),
      delta(add("/d", 5), { op: "test", path: "/a/n", value: 2 }),
    ];
    const before = structuredClone(events);
    expect(compactRun(events, {})).toEqual([
      snapshot({ a: { n: 1 }, b: { deep: 1, more: 2, last: 4 } }),
    ]);
    expect(events).toEqual(before);
  });

  test("skips patches that leave no JSON document", () => {
    const events = [
      snapshot({ a: 1 }),
      delta({ op: "move", from: "", path: "/a" }),
      delta({ op: "move", from: "/missing", path: "" }),
      delta(add("/b", 2)),
    ];
    expect(compactRun(events, {})).toEqual([snapshot({ a: 1, b: 2 })]);
  });

  test("deltas of which none applies are kept, since the state is unknown", () => {
    const events = [started, delta({ op: "replace", path: "/x/y", value: 1 }), custom, finished];
    expect(compactRun(events, {})).toEqual([started, custom, events[1], finished]);
  });

  test("a single snapshot stays the same object", () => {
    const lone = snapshot({ a: 1 });
    const out = compactRun([started, lone, custom, finished], {});
    expect(out[2]).toBe(lone);
  });

  test("of two runs is kept apart, and the second run continues from the first", () => {
    const events = [started, snapshot({ a: 1 }), finished, started, delta(add("/b", 2)), finished];
    expect(compactRun(events, {})).toEqual([
      started,
      snapshot({ a: 1 }),
      finished,
      started,
      snapshot({ a: 1, b: 2 }),
      finished,
    ]);
  });

  test("patches cannot change prototypes", () => {
    const hostile = [
      delta(add("/__proto__/polluted", 1)),
      delta(add("/constructor/prototype/polluted", 1)),
      delta({ op: "copy", from: "/__proto__", path: "/p" }),
      JSON.parse('{"type":"STATE_SNAPSHOT","snapshot":{"__proto__":{"polluted":1}}}') as EventLike,
      delta(add("/__proto__/polluted", 1)),
      JSON.parse(
        '{"type":"STATE_DELTA","delta":[{"op":"add","path":"/a","value":{"__proto__":{"polluted":1}}}]}',
      ) as EventLike,
    ];
    compactRun(hostile, {});
    const metadata = JSON.parse('{"__proto__":{"polluted":1}}') as object;
    compactRun([text("a", { metadata }), text("b", { metadata })], {});
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});

test("a run that cannot be compacted is returned unchanged, and the caller gets the error", () => {
  const failure = new Error("a getter throws");
  const hostile = {
    type: "TEXT_MESSAGE_CONTENT",
    get messageId(): string {
      throw failure;
    },
  };
  const events = [started, hostile, finished];
  const failures: unknown[] = [];
  expect(compactRun(events, { onFailure: (error) => void failures.push(error) })).toBe(events);
  expect(failures).toEqual([failure]);
});

describe("the end of a run", () => {
  const toolStart = { type: "TOOL_CALL_START", toolCallId: "c", toolCallName: "search" };

  test("closes open parts before the terminal event and drops the events after it", async () => {
    const args = { type: "TOOL_CALL_ARGS", toolCallId: "c", delta: '{"q":' };
    const events = [started, textStart, text("a"), toolStart, args, finished, textEnd, custom];
    const out = compactRun(events, {});
    expect(types(out)).toEqual([
      "RUN_STARTED",
      "TEXT_MESSAGE_START",
      "TEXT_MESSAGE_CONTENT",
      "TOOL_CALL_START",
      "TOOL_CALL_ARGS",
      "TEXT_MESSAGE_END",
      "TOOL_CALL_END",
      "TOOL_CALL_RESULT",
      "RUN_FINISHED",
    ]);
    expect(JSON.parse(out[7]?.content as string)).toMatchObject({
      status: "error",
      message: "Run ended before this tool call was complete",
    });
    await verifyWithClients(out);
    parseWithSchemas(out);
  });

  test("does not change an ended tool call without a result: the front end may answer it", () => {
    const events = [started, toolStart, { type: "TOOL_CALL_END", toolCallId: "c" }, finished];
    expect(compactRun(events, {})).toEqual(events);
  });

  test("a run that has not ended stays open", () => {
    expect(compactRun([started, textStart, text("a"), text("b")], {})).toEqual([
      started,
      textStart,
      text("ab"),
    ]);
  });
});

describe("for any run", () => {
  test("a client gets the same messages and the same state", async () => {
    await fc.assert(
      fc.asyncProperty(interleavedRun, threadState, async (events, state) => {
        const before = { messages: [], state };
        await verifyWithClients(events);
        const compacted = compactRun(events, { state });
        expect(compacted).not.toBe(events);
        await verifyWithClients(compacted);
        parseWithSchemas(compacted);
        expect(await reduceWithClients(compacted, before)).toEqual(
          await reduceWithClients(events, before),
        );
      }),
      { numRuns: 300 },
    );
  });

  test("whose parts do not interleave, the result is that of the client's compactEvents", () => {
    fc.assert(
      fc.property(plainRun, (events) => {
        let expected: unknown;
        try {
          expected = compactEvents(structuredClone(events) as never);
        } catch {
          // That version throws at a patch that does not apply.
          return;
        }
        // A client keeps the state before one that is null, zero, false or "": such states are not folded.
        const isOdd = ({ type, snapshot }: EventLike) => type === "STATE_SNAPSHOT" && !snapshot;
        if (events.some(isOdd) || (expected as EventLike[]).some(isOdd)) return;
        expect(compactRun(events, {})).toEqual(expected);
      }),
    );
  });

  test("compacting again changes nothing", () => {
    fc.assert(
      fc.property(interleavedRun, threadState, (events, state) => {
        const once = compactRun(events, { state });
        expect(compactRun(once, { state })).toEqual(once);
      }),
    );
    fc.assert(
      fc.property(fc.array(looseEvent), (events) => {
        const once = compactRun(events, {});
        expect(compactRun(once, {})).toEqual(once);
      }),
    );
  });

  test("the input events are not changed", () => {
    fc.assert(
      fc.property(interleavedRun, threadState, (events, state) => {
        const before = structuredClone({ events, state });
        compactRun(events, { state });
        expect({ events, state }).toEqual(before);
      }),
    );
  });

  test("of any events, it does not throw", () => {
    const anything = fc.oneof(
      looseEvent,
      fc.anything() as fc.Arbitrary<EventLike>,
      fc
        .tuple(
          looseEvent,
          fc.dictionary(fc.constantFrom("delta", "metadata", "snapshot"), fc.anything()),
        )
        .map(([event, fields]) => ({ ...event, ...fields })),
    );
    fc.assert(
      fc.property(fc.array(anything), fc.anything(), (events, state) => {
        expect(Array.isArray(compactRun(events, { state }))).toBe(true);
      }),
    );
  });
});

test("a run that is compacted in pieces is the same, however it is divided", () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1 });
  fc.assert(
    fc.property(fc.oneof(interleavedRun, fc.array(looseEvent)), lengths, (events, sizes) => {
      const compactor = new RunCompactor(undefined);
      const taken: EventLike[] = [];
      let at = 0;
      for (let piece = 0; at < events.length; piece++) {
        const size = sizes[piece % sizes.length] ?? 1;
        for (const event of events.slice(at, at + size)) compactor.add(event);
        // As JSON: what was taken must not be changed later.
        taken.push(...copied(compactor.takeSettled()));
        at += size;
      }
      expect([...taken, ...copied(compactor.finish())]).toEqual(copied(compactRun(events, {})));
    }),
  );
});

test("a run with a message that stays open settles after 10 000 events, and its text stays whole", () => {
  const said = (delta: string): EventLike => ({
    type: "TEXT_MESSAGE_CONTENT",
    messageId: "m",
    delta,
  });
  const compactor = new RunCompactor(undefined);
  const taken: EventLike[] = [];
  let held = 0;
  const add = (event: EventLike) => {
    compactor.add(event);
    held++;
    const settled = compactor.takeSettled();
    held -= settled.length;
    taken.push(...settled);
  };
  add({ type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" });
  add(said("one, "));
  add(said("two, "));
  held--;
  for (let at = 0; at < 30_000; at++) {
    add({ type: "CUSTOM", name: `step ${at}` });
    expect(held).toBeLessThanOrEqual(10_002);
  }
  add(said("three"));
  const all = [...taken, ...compactor.finish()];
  const deltas = all.filter(({ type }) => type === "TEXT_MESSAGE_CONTENT");
  expect(deltas.map(({ delta }) => delta)).toEqual(["one, two, ", "three"]);
  expect(all).toHaveLength(30_003);
});

const copied = (events: readonly EventLike[]) => JSON.parse(JSON.stringify(events)) as EventLike[];
