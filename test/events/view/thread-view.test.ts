import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EventLike } from "../../../src/events/event.ts";
import { ThreadView, viewOf } from "../../../src/events/view/thread-view.ts";
import { looseEvent } from "../random-runs.ts";
import { seed } from "./seed.ts";

const activity = (content: object, more: object = {}) => ({
  type: "ACTIVITY_SNAPSHOT",
  messageId: "act",
  activityType: "PLAN",
  content,
  ...more,
});
const snapshot = (...messages: object[]) => ({ type: "MESSAGES_SNAPSHOT", messages });
const user = { id: "u1", role: "user", content: "hi" };
const plan = { id: "act", role: "activity", activityType: "PLAN", content: { a: 1 } };
const thought = { id: "q1", role: "reasoning", content: "hm" };

function messagesOf(...events: EventLike[]) {
  return viewOf(events).messages;
}

describe("messages", () => {
  test("of a run's input are appended unless the view has their ids", () => {
    const input = {
      messages: [user, { ...user, content: "again" }, { role: "user", content: "" }],
    };
    const started = { type: "RUN_STARTED", input };
    expect(messagesOf(started, started)).toEqual([user, { role: "user", content: "" }]);
  });

  test("are replaced in place by a snapshot, dropped if it lacks them, and appended if they are new", () => {
    const first = snapshot(user, { id: "a1", role: "assistant" }, { id: "a2", role: "assistant" });
    const edited = { ...user, content: "edited" };
    const added = { id: "a3", role: "assistant" };
    const second = snapshot(added, { id: "a2", role: "assistant" }, edited);
    expect(messagesOf(first, second)).toEqual([edited, { id: "a2", role: "assistant" }, added]);
  });

  test("of activities and reasoning outlive a snapshot without any, and no other one", () => {
    expect(messagesOf(snapshot(plan, user, thought), snapshot(user))).toEqual([
      plan,
      user,
      thought,
    ]);
    const other = { ...plan, id: "act2" };
    expect(messagesOf(snapshot(plan, user, thought), snapshot(user, other))).toEqual([
      user,
      thought,
      other,
    ]);
  });

  test("that follow a tool call come after its result", () => {
    const result = { toolCallId: "t1", content: "", role: "tool" };
    const [call, ...rest] = messagesOf(
      { type: "TOOL_CALL_START", toolCallId: "t1", toolCallName: "f", parentMessageId: "a1" },
      { type: "TEXT_MESSAGE_START", messageId: "a2" },
      { type: "TOOL_CALL_RESULT", messageId: "r1", ...result },
      { type: "TOOL_CALL_RESULT", messageId: "r2", ...result },
    );
    expect(call).toMatchObject({ id: "a1", role: "assistant", toolCalls: [{ id: "t1" }] });
    expect(rest).toEqual([
      { id: "r1", ...result },
      { id: "r2", ...result },
      { id: "a2", role: "assistant", content: "" },
    ]);
  });

  test("of activities take a patch whole or not at all", () => {
    const delta = (patch: object[]) => ({ ...activity({}), type: "ACTIVITY_DELTA", patch });
    const add = { op: "add", path: "/b", value: 2 };
    const remove = { op: "remove", path: "/missing" };
    expect(messagesOf(activity({ a: 1 }), delta([add, remove]))).toEqual([plan]);
    expect(messagesOf(activity({ a: 1 }), delta([add]))).toEqual([
      { ...plan, content: { a: 1, b: 2 } },
    ]);
  });
});

// These are the rules of 0.0.59 where 1.0 has others.
describe("as in clients of 0.0.59", () => {
  test("an activity that outlives a snapshot is not replaced by a message of its id", () => {
    expect(messagesOf(snapshot(plan), snapshot({ ...user, id: "act" }))).toEqual([plan]);
  });

  test("reasoning with the id of an activity overwrites its content", () => {
    expect(
      messagesOf(activity({ a: 1 }), {
        type: "REASONING_MESSAGE_CONTENT",
        messageId: "act",
        delta: "hm",
      }),
    ).toEqual([{ ...plan, content: "hm" }]);
  });

  test("thinking shows nothing", () => {
    expect(
      messagesOf(
        { type: "THINKING_START" },
        { type: "THINKING_TEXT_MESSAGE_START" },
        { type: "THINKING_TEXT_MESSAGE_CONTENT", delta: "hm" },
      ),
    ).toEqual([]);
  });

  test("a state of null is what the deltas of its run apply to, and is not kept", () => {
    const view = viewOf([
      { type: "STATE_SNAPSHOT", snapshot: { a: 1 } },
      { type: "STATE_SNAPSHOT", snapshot: null },
      { type: "STATE_DELTA", delta: [{ op: "add", path: "/b", value: 2 }] },
    ]);
    expect(view.state).toEqual({ a: 1 });
    view.apply({ type: "RUN_STARTED" });
    view.apply({ type: "STATE_DELTA", delta: [{ op: "add", path: "/b", value: 2 }] });
    expect(view.state).toEqual({ a: 1, b: 2 });
  });
});

describe("chunks", () => {
  const chunk = { type: "TEXT_MESSAGE_CHUNK", messageId: "a1", delta: "a" };
  const next = { type: "TEXT_MESSAGE_CHUNK", delta: "b" };
  const filled = [{ id: "a1", role: "assistant", content: "ab" }];

  test("without an id continue the message of those before", () => {
    expect(messagesOf(chunk, next)).toEqual(filled);
  });

  test("continue it when the view was stored in between", () => {
    const view = ThreadView.restore(JSON.parse(JSON.stringify(viewOf([chunk]))));
    view?.apply(next);
    expect(view?.messages).toEqual(filled);
  });

  test("of a subagent are told from those of another", () => {
    expect(
      messagesOf(
        { ...chunk, subagentRunId: "s1" },
        { ...chunk, messageId: "a2", subagentRunId: "s2" },
        { ...next, subagentRunId: "s1" },
        // It could continue either message.
        next,
      ),
    ).toEqual([
      { ...filled[0], subagentRunId: "s1" },
      { ...filled[0], id: "a2", content: "a", subagentRunId: "s2" },
    ]);
  });
});

describe("interrupts", () => {
  const interrupts = [{ id: "i1", reason: "confirm" }];
  const interrupted = { type: "RUN_FINISHED", outcome: { type: "interrupt", interrupts } };

  test("are pending until a run finishes, and an error does not finish it", () => {
    const view = viewOf([interrupted, { type: "RUN_STARTED" }, { type: "RUN_ERROR" }]);
    expect(view.pendingInterrupts).toEqual(interrupts);
    view.apply({ type: "RUN_FINISHED" });
    expect(view.pendingInterrupts).toEqual([]);
  });
});

describe("whatever is stored", () => {
  const anything = fc.oneof(
    { weight: 4, arbitrary: looseEvent },
    { weight: 1, arbitrary: fc.jsonValue() },
    {
      weight: 2,
      arbitrary: fc
        .tuple(looseEvent, fc.dictionary(fc.constantFrom(...fieldNames()), fc.jsonValue()))
        .map(([event, fields]) => ({ ...event, ...fields })),
    },
  );

  test("is applied without an error, and leaves a view that can be stored", () => {
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 40, size: "max" }), (events) => {
        const view = viewOf(events as EventLike[]);
        const stored = JSON.parse(JSON.stringify(view)) as unknown;
        expect(ThreadView.restore(stored)?.toJSON()).toEqual(stored);
      }),
      { seed, numRuns: 1000 },
    );
  });

  test.each<[string, object]>([
    ["a delta that is no string", { type: "TEXT_MESSAGE_CONTENT", messageId: "a1", delta: 7 }],
    ["a message without an id", { type: "TEXT_MESSAGE_START", role: "user" }],
    ["a tool call without a name", { type: "TOOL_CALL_START", toolCallId: "t1" }],
    ["a result without content", { type: "TOOL_CALL_RESULT", messageId: "r", toolCallId: "t" }],
    [
      "an activity without content",
      { type: "ACTIVITY_SNAPSHOT", messageId: "x", activityType: "P" },
    ],
    ["a snapshot that is no list", { type: "MESSAGES_SNAPSHOT", messages: { a1: {} } }],
    ["a delta of the state that is no list", { type: "STATE_DELTA", delta: { op: "remove" } }],
    ["a chunk of a nameless message", { type: "TEXT_MESSAGE_CHUNK", delta: "a" }],
    ["an unknown value", { type: "REASONING_ENCRYPTED_VALUE", subtype: "x", entityId: "a1" }],
    ["an event without a type", {}],
  ])("has no effect if its shape is wrong: %s", (_, event) => {
    const view = viewOf([{ type: "TEXT_MESSAGE_START", messageId: "a1" }]);
    const before = view.toJSON();
    view.apply(event as EventLike);
    expect(view.toJSON()).toEqual(before);
  });

  test("does not make a state contain itself", () => {
    const delta = [{ op: "move", from: "", path: "/a" }];
    const view = viewOf([
      { type: "STATE_SNAPSHOT", snapshot: { b: 1 } },
      { type: "STATE_DELTA", delta },
    ]);
    expect(view.state).toEqual({ b: 1 });
  });

  test.each([
    ["nothing", undefined],
    ["another version", { ...new ThreadView().toJSON(), version: 2 }],
    ["no list of messages", { ...new ThreadView().toJSON(), messages: {} }],
    ["a message that is none", { ...new ThreadView().toJSON(), messages: [null] }],
    ["chunks of nothing", { ...new ThreadView().toJSON(), openChunks: [{ kind: "text" }] }],
  ])("is not taken for a view: %s", (_, stored) => {
    expect(ThreadView.restore(stored)).toBeUndefined();
  });
});

function fieldNames(): string[] {
  const names =
    "messageId toolCallId content delta patch snapshot role name metadata messages input";
  return `${names} outcome toolCalls activityType encryptedValue subagentRunId type`.split(" ");
}
