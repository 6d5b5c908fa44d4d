import fc from "fast-check";
import type { EventLike } from "../../../src/events/event.ts";
import { operation, stateValue } from "../random-runs.ts";
import { StreamBuilder } from "./stream-builder.ts";

/*
 * Threads of several runs that a client accepts, with events of all types. Ids come from small pools
 * that the kinds share, so that they meet: a tool result with the id of an activity, a snapshot
 * that lacks what the view has, a call that starts again.
 */

export interface RandomRun {
  /** What the user's client adds to its messages before the run. */
  readonly asked: readonly object[];
  readonly events: readonly EventLike[];
  /** Whether the view is stored and restored after the run. */
  readonly stored: boolean;
}

const messageId = fc.constantFrom("m1", "m1", "m1", "m2", "m2", "q1", "q1", "act1", "");
const toolCallId = fc.constantFrom("t1", "t1", "t2", "m1");
const owner = fc.constantFrom(undefined, undefined, undefined, "s1", "s2", "");
const text = fc.string({ maxLength: 3 });
const metadata = fc.option(fc.dictionary(fc.constantFrom("x", "y"), fc.nat(9), { maxKeys: 2 }), {
  nil: undefined,
  freq: 3,
});
const subtype = fc.constantFrom("message", "tool-call");
const content = fc.record({ a: stateValue, list: fc.array(fc.nat(3), { maxLength: 2 }) });
const oddOperation = fc.constantFrom<object>(
  { op: "move", from: "/a", path: "" },
  { op: "move", from: "/missing", path: "" },
  { op: "copy", from: "", path: "/b" },
  { op: "remove", path: "" },
  { op: "add", path: "/list//a", value: 1 },
  { op: "move", from: "/b", path: "/list/4294967296/a" },
  { op: "add", path: "/a~1b/c", value: {} },
  { op: "replace", path: "/a/a", value: { a: [1] } },
  { op: "add", path: "/a/a/a/-", value: 2 },
);
// These fit what states and activities hold at first.
const plainOperation = fc.oneof(
  fc.record({ op: fc.constant("add"), path: fc.constantFrom("/a", "/b"), value: stateValue }),
  fc.record({
    op: fc.constant("add"),
    path: fc.constantFrom("/list/-", "/list/0"),
    value: fc.nat(9),
  }),
  fc.constantFrom<object>(
    { op: "remove", path: "/list/0" },
    { op: "replace", path: "/a", value: { a: { a: [] } } },
    { op: "copy", from: "/list", path: "/b" },
    { op: "move", from: "/a", path: "/b" },
  ),
);
const patch = fc.oneof(
  fc.array(plainOperation, { maxLength: 3 }),
  fc.array(fc.oneof(plainOperation, operation, oddOperation), { maxLength: 4 }),
);

const toolCall = fc.record(
  {
    id: toolCallId,
    type: fc.constant("function"),
    function: fc.record({ name: fc.constantFrom("f", "g"), arguments: text }),
    metadata,
  },
  { requiredKeys: ["id", "type", "function"] },
);
const userContent = fc.oneof(text, fc.constant([{ type: "text", text: "a" }]));
const message = fc
  .oneof(
    fc.record({ role: fc.constant("user"), content: userContent }),
    // A client does not mind who has tool calls.
    fc.record({ role: fc.constant("user"), toolCalls: fc.array(toolCall, { maxLength: 1 }) }),
    fc.record({ role: fc.constant("system"), content: text }),
    fc.record(
      {
        role: fc.constant("assistant"),
        content: text,
        toolCalls: fc.array(toolCall, { maxLength: 2 }),
        metadata,
      },
      { requiredKeys: ["role"] },
    ),
    fc.record({ role: fc.constant("tool"), toolCallId, content: text }),
    fc.record({ role: fc.constant("reasoning"), content: text }),
    fc.record({ role: fc.constant("activity"), activityType: fc.constant("PLAN"), content }),
  )
  .chain((fields) =>
    fc
      .record({
        id: fc.oneof(messageId, fc.constantFrom("u1", "u2", "result1", undefined)),
        subagentRunId: owner,
      })
      .map(({ id, subagentRunId }) => defined({ id, ...fields, subagentRunId })),
  );
const messages = fc.array(message, { maxLength: 5 });

/** Starts a part, or fills or ends it if it is open. */
const part = fc.record({
  type: fc.constant("part"),
  kind: fc.constantFrom(
    ..."text text text toolCall toolCall toolCall reasoning reasoningSpan".split(" "),
  ),
  messageId,
  toolCallId,
  parentMessageId: fc.option(messageId, { nil: undefined }),
  toolCallName: fc.constantFrom("f", "f", "f", "g"),
  role: fc.constantFrom(undefined, "assistant", "assistant", "user", "system"),
  name: fc.option(text, { nil: undefined, freq: 9 }),
  delta: text,
  ends: fc.nat(3).map((n) => n === 0),
  metadata,
  subagentRunId: owner,
});

function event(type: string, fields: Record<string, fc.Arbitrary<unknown>>) {
  return fc.record(fields).map((values) => defined({ type, ...values }) as unknown as EventLike);
}

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 2 });
const tagged = { metadata, subagentRunId: owner };
const chunk = fc.oneof(
  event("TEXT_MESSAGE_CHUNK", {
    messageId: optional(messageId),
    role: fc.constantFrom(undefined, "user", "assistant"),
    name: fc.constantFrom(undefined, undefined, "n"),
    delta: optional(text),
    ...tagged,
  }),
  event("TOOL_CALL_CHUNK", {
    toolCallId: optional(toolCallId),
    toolCallName: fc.constantFrom("f", "g", undefined),
    parentMessageId: optional(messageId),
    delta: optional(text),
    ...tagged,
  }),
  event("REASONING_MESSAGE_CHUNK", {
    messageId: optional(messageId),
    delta: optional(text),
    ...tagged,
  }),
);
const single = fc.oneof(
  { weight: 5, arbitrary: chunk },
  event("TOOL_CALL_RESULT", {
    messageId: fc.oneof(messageId, fc.constantFrom("result1", "result2")),
    toolCallId,
    content: text,
    role: fc.constantFrom(undefined, "tool"),
    ...tagged,
  }),
  event("ACTIVITY_SNAPSHOT", {
    messageId: fc.constantFrom("act1", "act1", "act1", "act2", "m1", "q1"),
    activityType: fc.constantFrom("PLAN", "SEARCH"),
    content,
    replace: fc.constantFrom(undefined, true, false),
    ...tagged,
  }),
  event("ACTIVITY_DELTA", {
    messageId: fc.constantFrom("act1", "act1", "act1", "act1", "act2", "m1"),
    activityType: fc.constantFrom("PLAN", "SEARCH"),
    patch,
    ...tagged,
  }),
  event("REASONING_ENCRYPTED_VALUE", {
    subtype,
    entityId: fc.oneof(messageId, toolCallId),
    encryptedValue: text,
    ...tagged,
  }),
  event("MESSAGES_SNAPSHOT", { messages, metadata }),
  event("STATE_SNAPSHOT", {
    snapshot: fc.oneof(
      { weight: 5, arbitrary: content },
      {
        weight: 1,
        arbitrary: fc.constantFrom<unknown>(null, 0, "", false, "a", [1], 7, undefined),
      },
    ),
    ...tagged,
  }),
  event("STATE_DELTA", { delta: patch, ...tagged }),
  event("STEP_STARTED", { stepName: fc.constantFrom("a", "b"), ...tagged }),
  event("STEP_FINISHED", { stepName: fc.constantFrom("a", "b"), ...tagged }),
  event("SUBAGENT_STARTED", { subagentRunId: fc.constantFrom("s1", "s2"), name: text }),
  event("SUBAGENT_FINISHED", { subagentRunId: fc.constantFrom("s1", "s2") }),
  event("SUBAGENT_ERROR", { subagentRunId: fc.constantFrom("s1", "s2"), message: text }),
  event("THINKING_START", {}),
  event("THINKING_TEXT_MESSAGE_START", {}),
  event("THINKING_TEXT_MESSAGE_CONTENT", { delta: text }),
  event("THINKING_TEXT_MESSAGE_END", {}),
  event("THINKING_END", {}),
  event("CUSTOM", { name: text, value: stateValue, ...tagged }),
  event("RAW", { event: stateValue }),
  event("MADE_UP", { messageId, delta: text }),
);

const interrupts = fc.array(
  fc.record({ id: fc.constantFrom("i1", "i2"), reason: fc.constant("confirm") }),
  { minLength: 1, maxLength: 2 },
);
const end = fc.oneof(
  event("RUN_FINISHED", {
    outcome: fc.oneof(
      fc.constantFrom(undefined, { type: "success" }),
      interrupts.map((list) => ({ type: "interrupt", interrupts: list })),
    ),
  }),
  event("RUN_ERROR", { message: text }),
);

const run = fc.record({
  asks: fc.boolean(),
  input: fc.option(fc.record({ messages: optional(messages) }), { nil: undefined }),
  parentRunId: optional(fc.constant("r0")),
  body: fc.array(fc.oneof({ weight: 5, arbitrary: part }, { weight: 4, arbitrary: single }), {
    maxLength: 60,
    size: "max",
  }),
  end,
  stored: fc.boolean(),
});

/** The runs of one thread, one after the other. */
export const randomThread: fc.Arbitrary<RandomRun[]> = fc
  .array(run, { minLength: 1, maxLength: 4 })
  .map((runs) =>
    runs.map(({ asks, input, parentRunId, body, end, stored }, number) => {
      const ids = { threadId: "t", runId: `r${number}` };
      const asked = asks ? [{ id: `asked${number}`, role: "user", content: "hi" }] : [];
      // A runner puts what the client has added first.
      const sent = { ...input, messages: [...asked, ...(input?.messages ?? [])] };
      const builder = new StreamBuilder();
      builder.add({
        type: "RUN_STARTED",
        ...ids,
        ...defined({ parentRunId, input: asks || input?.messages ? sent : input }),
      });
      for (const item of body) builder.add(isPart(item) ? partEvent(builder, item) : item);
      builder.end({ ...end, ...ids });
      return { asked, events: builder.events, stored };
    }),
  );

type Part = typeof part extends fc.Arbitrary<infer Value> ? Value : never;

function isPart(item: Part | EventLike): item is Part {
  return item.type === "part";
}

const prefixes: Record<string, string> = {
  text: "TEXT_MESSAGE",
  toolCall: "TOOL_CALL",
  reasoning: "REASONING_MESSAGE",
  reasoningSpan: "REASONING",
};

function partEvent(builder: StreamBuilder, fields: Part): EventLike {
  const { kind, messageId, toolCallId, delta, ends, metadata, subagentRunId } = fields;
  const prefix = prefixes[kind];
  const isCall = kind === "toolCall";
  const id = isCall ? { toolCallId } : { messageId };
  const extra = { metadata, subagentRunId };
  const isOpen = builder.has({ type: `${prefix}_START`, ...id });
  if (isOpen && ends) return defined({ type: `${prefix}_END`, ...id, ...extra }) as never;
  if (isOpen && kind !== "reasoningSpan") {
    const type = `${prefix}_${isCall ? "ARGS" : "CONTENT"}`;
    return defined({ type, ...id, delta, ...extra }) as never;
  }
  const { toolCallName, parentMessageId, role, name } = fields;
  const call = isCall ? { toolCallName, parentMessageId } : {};
  const message = kind === "text" ? { role, name } : kind === "reasoning" ? { role: kind } : {};
  return defined({ type: `${prefix}_START`, ...id, ...call, ...message, ...extra }) as never;
}

/** Without the fields that are undefined, which no event over the wire has. */
function defined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
