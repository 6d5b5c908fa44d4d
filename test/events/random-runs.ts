import fc from "fast-check";
import type { EventLike } from "../../src/events/event.ts";

/** A step of a random run. Its event depends on the parts that are open at its turn. */
interface Command {
  readonly op: string;
  readonly n: number;
  readonly text: string;
  readonly tagged: boolean;
  readonly metadata: Record<string, number> | undefined;
  readonly patch: readonly object[];
  readonly state: unknown;
}

const ops = [
  ..."text text text text tool tool tool reasoning reasoning span thinking step".split(" "),
  ..."result activity activityDelta encrypted messages snapshot delta delta custom end".split(" "),
];

const stateKey = fc.constantFrom("a", "b", "list");
/** A small JSON value, as states and activities hold them. */
export const stateValue = fc.oneof(
  fc.integer({ min: 0, max: 3 }),
  fc.constant(null),
  fc.record({ a: fc.integer({ min: 0, max: 3 }) }),
  fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 2 }),
);
const statePath = fc.oneof(
  stateKey.map((key) => `/${key}`),
  fc.tuple(stateKey, stateKey).map(([key, inner]) => `/${key}/${inner}`),
  fc.constantFrom(
    "",
    "/list/-",
    "/list/0",
    "/__proto__/polluted",
    "/constructor/prototype/polluted",
  ),
);
const innerPath = statePath.filter((path) => path !== "");
/** An operation of a JSON patch on a state, which may apply or not. */
export const operation = fc.oneof(
  fc.record({ op: fc.constantFrom("add", "replace", "test"), path: statePath, value: stateValue }),
  fc.record({ op: fc.constantFrom("remove"), path: statePath }),
  // Not to or from the root: a client would have no state, or a state that contains itself.
  fc.record({ op: fc.constantFrom("move", "copy"), path: innerPath, from: innerPath }),
);

const command: fc.Arbitrary<Command> = fc.record({
  op: fc.constantFrom(...ops),
  n: fc.nat(2),
  text: fc.string({ maxLength: 4 }),
  tagged: fc.boolean(),
  metadata: fc.option(fc.dictionary(fc.constantFrom("x", "y"), fc.nat(9), { maxKeys: 2 }), {
    nil: undefined,
    freq: 3,
  }),
  patch: fc.array(operation, { minLength: 1, maxLength: 3 }),
  state: fc.record({ a: stateValue, list: fc.array(fc.nat(3), { maxLength: 2 }) }),
});

/** Any state that a thread may have before a run. */
export const threadState = fc.record(
  { a: stateValue, b: stateValue, list: fc.array(fc.nat(3)) },
  { requiredKeys: [] },
);

/**
 * Valid runs whose parts interleave in every way, reopen, are replaced by snapshots, share ids
 * across kinds, and carry tags and metadata. Everything is closed at the end.
 */
export const interleavedRun: fc.Arbitrary<EventLike[]> = fc
  .array(command, { maxLength: 60, size: "max" })
  .map(toRun);

function toRun(commands: readonly Command[]): EventLike[] {
  const events: EventLike[] = [{ type: "RUN_STARTED", threadId: "t", runId: "r" }];
  const open = new Map<string, EventLike>();
  for (const command of commands) addTo(events, open, command);
  events.push(...open.values(), { type: "RUN_FINISHED", threadId: "t", runId: "r" });
  return events;
}

function addTo(events: EventLike[], open: Map<string, EventLike>, command: Command): void {
  const { op, n, text, metadata, patch, state } = command;
  const extra = metadata === undefined ? {} : { metadata };
  // Each id always has the same owner: m2 belongs to a subagent, all others to the parent agent.
  const tag = n === 2 && command.tagged ? { subagentRunId: "s" } : {};
  const ids = { messageId: `m${n}`, ...tag };
  const cycle = (key: string, start: object, content: object | null, end: object) => {
    if (!open.has(key)) {
      events.push({ ...start, ...extra } as EventLike);
      open.set(key, { ...end } as EventLike);
    } else if (content !== null && text !== "z") {
      events.push({ ...content, delta: text, ...extra } as unknown as EventLike);
    } else {
      events.push({ ...end, ...extra } as EventLike);
      open.delete(key);
    }
  };
  switch (op) {
    case "text":
      cycle(
        `text ${n}`,
        // The start of m2 always has a tag, even if its content has none: the start decides the owner.
        {
          type: "TEXT_MESSAGE_START",
          role: "assistant",
          ...ids,
          ...(n === 2 && { subagentRunId: "s" }),
        },
        { type: "TEXT_MESSAGE_CONTENT", ...ids },
        { type: "TEXT_MESSAGE_END", ...ids },
      );
      break;
    case "tool": {
      const parent = n === 0 ? {} : { parentMessageId: `m${n - 1}` };
      const call = { toolCallId: n === 0 ? "m1" : `t${n}` };
      cycle(
        `tool ${n}`,
        {
          type: "TOOL_CALL_START",
          ...call,
          toolCallName: text === "z" ? "other" : "tool",
          ...parent,
        },
        { type: "TOOL_CALL_ARGS", ...call },
        { type: "TOOL_CALL_END", ...call },
      );
      break;
    }
    case "reasoning": {
      const id = { messageId: n === 0 ? "m0" : `q${n}` };
      cycle(
        `reasoning ${n}`,
        { type: "REASONING_MESSAGE_START", role: "reasoning", ...id },
        { type: "REASONING_MESSAGE_CONTENT", ...id },
        { type: "REASONING_MESSAGE_END", ...id },
      );
      break;
    }
    case "span": {
      const id = { messageId: `q${n}` };
      cycle(`span ${n}`, { type: "REASONING_START", ...id }, null, {
        type: "REASONING_END",
        ...id,
      });
      break;
    }
    case "step":
      cycle(
        `step ${n} ${n === 2 && command.tagged}`,
        { type: "STEP_STARTED", stepName: `step ${n}`, ...tag },
        null,
        { type: "STEP_FINISHED", stepName: `step ${n}`, ...tag },
      );
      break;
    case "result":
      events.push({
        type: "TOOL_CALL_RESULT",
        messageId: text === "z" ? "m0" : `result ${events.length}`,
        toolCallId: `t${n}`,
        content: text,
        ...extra,
      });
      break;
    case "activity":
      events.push({
        type: "ACTIVITY_SNAPSHOT",
        messageId: text === "z" ? `m${n % 2}` : `act${n}`,
        activityType: "PLAN",
        content: { list: [n] },
        replace: command.tagged,
        ...extra,
      });
      break;
    case "activityDelta":
      events.push({
        type: "ACTIVITY_DELTA",
        messageId: `act${n}`,
        activityType: "PLAN",
        patch: [{ op: "add", path: "/list/-", value: n }],
      });
      break;
    case "encrypted":
      events.push({
        type: "REASONING_ENCRYPTED_VALUE",
        subtype: command.tagged ? "message" : "tool-call",
        entityId: command.tagged ? `m${n}` : `t${n}`,
        encryptedValue: text,
      });
      break;
    case "messages":
      events.push({
        type: "MESSAGES_SNAPSHOT",
        messages: [
          { id: `m${n}`, role: "assistant", content: text, ...(n === 2 && { subagentRunId: "s" }) },
          { id: `u${n}`, role: "user", content: "hi" },
        ],
      });
      break;
    case "snapshot":
      events.push({ type: "STATE_SNAPSHOT", snapshot: state, ...extra });
      break;
    case "delta":
      events.push({ type: "STATE_DELTA", delta: patch, ...extra });
      break;
    case "custom":
      events.push({ type: "CUSTOM", name: "note", value: text });
      break;
  }
}

const block = fc.record({
  kind: fc.constantFrom("text", "tool", "custom", "snapshot"),
  deltas: fc.array(fc.string({ maxLength: 3 }), { maxLength: 4 }),
  metadata: fc.option(fc.record({ x: fc.nat(9) }), { nil: undefined }),
  patches: fc.array(fc.array(operation, { maxLength: 2 }), { maxLength: 2 }),
  state: fc.record({ a: stateValue }),
});

/** Runs of text, tool calls and state whose parts do not interleave. */
export const plainRun: fc.Arbitrary<EventLike[]> = fc
  .array(block, { maxLength: 8 })
  .map((blocks) => {
    const events: EventLike[] = [{ type: "RUN_STARTED", threadId: "t", runId: "r" }];
    blocks.forEach(({ kind, deltas, metadata, patches, state }, n) => {
      const extra = metadata === undefined ? {} : { metadata };
      if (kind === "text") {
        const messageId = `m${n}`;
        events.push({ type: "TEXT_MESSAGE_START", messageId, role: "assistant" });
        for (const delta of deltas) {
          events.push({ type: "TEXT_MESSAGE_CONTENT", messageId, delta, ...extra });
        }
        events.push({ type: "TEXT_MESSAGE_END", messageId });
      } else if (kind === "tool") {
        const toolCallId = `t${n}`;
        events.push({ type: "TOOL_CALL_START", toolCallId, toolCallName: "tool" });
        for (const delta of deltas) {
          events.push({ type: "TOOL_CALL_ARGS", toolCallId, delta, ...extra });
        }
        events.push({ type: "TOOL_CALL_END", toolCallId });
      } else if (kind === "custom") {
        events.push({ type: "CUSTOM", name: "note", value: n });
      } else {
        events.push({ type: "STATE_SNAPSHOT", snapshot: state, ...extra });
        for (const delta of patches) events.push({ type: "STATE_DELTA", delta, ...extra });
      }
    });
    events.push({ type: "RUN_FINISHED", threadId: "t", runId: "r" });
    return events;
  });

const eventType = fc.constantFrom(
  ..."TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT TEXT_MESSAGE_END TOOL_CALL_START".split(" "),
  ..."TOOL_CALL_ARGS TOOL_CALL_END TOOL_CALL_RESULT REASONING_START REASONING_END".split(" "),
  ..."REASONING_MESSAGE_START REASONING_MESSAGE_CONTENT REASONING_MESSAGE_END".split(" "),
  ..."REASONING_ENCRYPTED_VALUE THINKING_START THINKING_END STEP_STARTED STEP_FINISHED".split(" "),
  ..."THINKING_TEXT_MESSAGE_START THINKING_TEXT_MESSAGE_CONTENT".split(" "),
  ..."THINKING_TEXT_MESSAGE_END SUBAGENT_STARTED SUBAGENT_FINISHED SUBAGENT_ERROR".split(" "),
  ..."ACTIVITY_SNAPSHOT ACTIVITY_DELTA STATE_SNAPSHOT STATE_DELTA MESSAGES_SNAPSHOT".split(" "),
  ..."RAW CUSTOM RUN_STARTED RUN_FINISHED RUN_ERROR MADE_UP".split(" "),
);

const smallId = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom("", "1", "2") },
  { weight: 1, arbitrary: fc.constantFrom(null, undefined, 7) },
);
const tag = fc.constantFrom(undefined, undefined, undefined, "", "1", "s", null, 5);
const toolCall = (id: string) => ({ id, type: "function", function: { name: "f", arguments: "" } });
const message = fc.oneof(
  fc.record({
    id: smallId,
    role: fc.constantFrom("assistant", "reasoning", "activity", "user"),
    content: fc.constant(""),
    subagentRunId: tag,
    toolCalls: fc.constantFrom(undefined, null, 5, [toolCall("1")], [null, toolCall("2")]),
  }),
  fc.constantFrom(null, 3),
);
const messages = fc.oneof(fc.array(message, { maxLength: 3 }), fc.constantFrom(null, undefined, 5));

/** An event of a known type with valid, invalid or missing fields. It uses only a few ids. */
export const looseEvent: fc.Arbitrary<EventLike> = fc
  .record({
    type: eventType,
    messageId: smallId,
    toolCallId: smallId,
    parentMessageId: smallId,
    stepName: smallId,
    entityId: smallId,
    subtype: fc.constantFrom("message", "tool-call", undefined),
    subagentRunId: tag,
    parentSubagentRunId: tag,
    description: fc.constantFrom(undefined, null),
    name: fc.constantFrom("a", "a", undefined),
    message: fc.constantFrom("a", undefined),
    code: fc.constantFrom("a", null, undefined),
    delta: fc.constantFrom("a", "a", "a", undefined),
    replace: fc.constantFrom(true, false, undefined),
    toolCallName: fc.constant("tool"),
    outcome: fc.constantFrom(
      undefined,
      undefined,
      null,
      "success",
      { type: "success" },
      { type: "other" },
      { type: "suspended", interruptIds: [1, "a"] },
      { type: "suspended", interruptIds: null },
      { type: "interrupt", interrupts: [{ id: "i", subagentRunId: null }, null] },
      { type: "interrupt" },
    ),
    threadId: fc.constantFrom("t", undefined),
    runId: fc.constantFrom("r", undefined),
    messages,
    input: fc.oneof(fc.constantFrom(undefined, null, 5), fc.record({ messages })),
  })
  .map((fields) => {
    const present = Object.entries(fields).filter(([, value]) => value !== undefined);
    return Object.fromEntries(present) as unknown as EventLike;
  });
