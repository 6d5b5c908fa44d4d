import type { EventLike } from "../../src/index.ts";

/** Runs on one thread, and the view that a client must hold afterwards. */
export interface ReloadCase {
  readonly name: string;
  readonly kind: string;
  readonly runs: readonly {
    readonly runId: string;
    readonly input: {
      readonly messages: readonly { readonly id: string; readonly [field: string]: unknown }[];
      readonly state?: unknown;
      readonly forwardedProps?: unknown;
    };
    /** Of RUN_STARTED and RUN_FINISHED, only the type. */
    readonly events: readonly EventLike[];
  }[];
  /** The ids of the messages, in order. */
  readonly view: { readonly messages: readonly string[]; readonly state?: unknown };
  /** What no replay and no file may contain. */
  readonly secret?: string;
}

const user = (id: string, content = `text of ${id}`) => ({ id, role: "user", content });
const assistant = (id: string) => ({ id, role: "assistant", content: `text of ${id}` });
const result = (id: string, toolCallId: string, content = "done") => ({
  ...{ id, role: "tool", toolCallId, content },
});
const caller = (id: string, toolCallId: string) => ({
  id,
  role: "assistant",
  toolCalls: [{ id: toolCallId, type: "function", function: { name: "ask", arguments: "{}" } }],
});

const run = (...events: EventLike[]): EventLike[] => [
  { type: "RUN_STARTED" },
  ...events,
  { type: "RUN_FINISHED" },
];
const saying = (messageId: string): EventLike[] => [
  { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
  { type: "TEXT_MESSAGE_CONTENT", messageId, delta: `text of ${messageId}` },
  { type: "TEXT_MESSAGE_END", messageId },
];
const calling = (parentMessageId: string, toolCallId: string): EventLike[] => [
  { type: "TOOL_CALL_START", toolCallId, toolCallName: "ask", parentMessageId },
  { type: "TOOL_CALL_ARGS", toolCallId, delta: "{}" },
  { type: "TOOL_CALL_END", toolCallId },
];
const activity = (messageId: string, step: string): EventLike => ({
  ...{ type: "ACTIVITY_SNAPSHOT", messageId, activityType: "PLAN", content: { step } },
});

const talk = [
  { runId: "r1", input: { messages: [user("u1")] }, events: run(...saying("a1")) },
  {
    runId: "r2",
    input: { messages: [user("u1"), assistant("a1"), user("u2")] },
    events: run(...saying("a2")),
  },
];

export const reloadCases: readonly ReloadCase[] = [
  {
    name: "a result that changes under its id",
    kind: "content",
    runs: [
      { runId: "r1", input: { messages: [user("u1")] }, events: run(...calling("a1", "c1")) },
      {
        runId: "r2",
        input: { messages: [user("u1"), caller("a1", "c1"), result("t1", "c1", "pending")] },
        events: run(...saying("a2")),
      },
      {
        runId: "r3",
        input: {
          messages: [user("u1"), caller("a1", "c1"), result("t1", "c1", "yes"), assistant("a2")],
        },
        events: run(...saying("a3")),
      },
    ],
    view: { messages: ["u1", "a1", "t1", "a2", "a3"] },
  },
  {
    name: "a question that was edited under its id",
    kind: "content",
    runs: [
      ...talk,
      {
        runId: "r3",
        input: {
          messages: [
            user("u1", "edited"),
            assistant("a1"),
            user("u2"),
            assistant("a2"),
            user("u3"),
          ],
        },
        events: run(...saying("a3")),
      },
    ],
    view: { messages: ["u1", "a1", "u2", "a2", "u3", "a3"] },
  },
  {
    name: "a message that comes before all others",
    kind: "position",
    runs: [
      ...talk,
      {
        runId: "r3",
        input: {
          messages: [
            { id: "s", role: "system", content: "Be brief." },
            ...[user("u1"), assistant("a1"), user("u2"), assistant("a2"), user("u3")],
          ],
        },
        events: run(...saying("a3")),
      },
    ],
    view: { messages: ["s", "u1", "a1", "u2", "a2", "u3", "a3"] },
  },
  {
    name: "an answer asked for again, twice, in the middle",
    kind: "truncation",
    runs: [
      ...talk,
      { runId: "r3", input: { messages: [user("u1")] }, events: run(...saying("a3")) },
      { runId: "r4", input: { messages: [user("u1")] }, events: run(...saying("a4")) },
      {
        runId: "r5",
        input: { messages: [user("u1"), assistant("a4"), user("u3")] },
        events: run(...saying("a5")),
      },
    ],
    view: { messages: ["u1", "a4", "u3", "a5"] },
  },
  {
    name: "snapshots of all messages in each run",
    kind: "snapshot",
    runs: [
      {
        runId: "r1",
        input: { messages: [user("u1")] },
        events: run(
          { type: "STATE_SNAPSHOT", snapshot: { turn: 1 } },
          { type: "MESSAGES_SNAPSHOT", messages: [user("u1"), assistant("a1")] },
        ),
      },
      {
        runId: "r2",
        input: { messages: [user("u1"), assistant("a1"), user("u2")], state: { turn: 1 } },
        events: run(
          { type: "STATE_DELTA", delta: [{ op: "replace", path: "/turn", value: 2 }] },
          {
            type: "MESSAGES_SNAPSHOT",
            messages: [user("u1"), assistant("a1"), user("u2"), assistant("a2")],
          },
        ),
      },
      {
        runId: "r3",
        input: {
          messages: [user("u1"), assistant("a1"), user("u2"), assistant("a2"), user("u3")],
          state: { turn: 2 },
        },
        events: run(...saying("a3")),
      },
    ],
    view: { messages: ["u1", "a1", "u2", "a2", "u3", "a3"], state: { turn: 2 } },
  },
  {
    name: "a tool's result that a snapshot left out",
    kind: "snapshot",
    runs: [
      {
        runId: "r1",
        input: { messages: [user("u1")] },
        events: run(
          ...calling("a1", "c1"),
          { type: "TOOL_CALL_RESULT", messageId: "t1", toolCallId: "c1", content: "found" },
          { type: "MESSAGES_SNAPSHOT", messages: [user("u1"), caller("a1", "c1")] },
        ),
      },
      {
        runId: "r2",
        input: { messages: [user("u1"), caller("a1", "c1"), user("u2")] },
        events: run(...saying("a2")),
      },
    ],
    view: { messages: ["u1", "a1", "u2", "a2"] },
  },
  {
    name: "an activity that stands beside snapshots that lack it",
    kind: "snapshot",
    runs: [
      {
        runId: "r1",
        input: { messages: [user("u1")] },
        events: run(activity("p", "one"), {
          type: "MESSAGES_SNAPSHOT",
          messages: [user("u1"), assistant("a1")],
        }),
      },
    ],
    view: { messages: ["u1", "p", "a1"] },
  },
  {
    name: "an empty state from a client that holds one, and deltas of the agent",
    kind: "state",
    runs: [
      {
        runId: "r1",
        input: { messages: [user("u1")], state: {} },
        events: run({ type: "STATE_SNAPSHOT", snapshot: { n: 1 } }, ...saying("a1")),
      },
      {
        runId: "r2",
        input: { messages: [user("u1"), assistant("a1"), user("u2")], state: {} },
        events: run(
          { type: "STATE_DELTA", delta: [{ op: "add", path: "/k", value: {} }] },
          ...saying("a2"),
          { type: "STATE_DELTA", delta: [{ op: "add", path: "/k/more", value: 2 }] },
        ),
      },
    ],
    view: { messages: ["u1", "a1", "u2", "a2"], state: { n: 1, k: { more: 2 } } },
  },
  {
    name: "a state that the client set, and deltas of the agent",
    kind: "state",
    runs: [
      {
        runId: "r1",
        input: { messages: [user("u1")], state: {} },
        events: run({ type: "STATE_SNAPSHOT", snapshot: { n: 1 } }, ...saying("a1")),
      },
      {
        runId: "r2",
        input: { messages: [user("u1"), assistant("a1"), user("u2")], state: { n: 5 } },
        events: run(
          { type: "STATE_DELTA", delta: [{ op: "add", path: "/k", value: {} }] },
          ...saying("a2"),
          { type: "STATE_DELTA", delta: [{ op: "add", path: "/k/more", value: 2 }] },
        ),
      },
    ],
    view: { messages: ["u1", "a1", "u2", "a2"], state: { n: 5, k: { more: 2 } } },
  },
  {
    name: "a state at the first run, of which the agent emits nothing",
    kind: "state",
    runs: [
      {
        runId: "r1",
        input: { messages: [user("u1")], state: { lang: "de" } },
        events: run(...saying("a1")),
      },
    ],
    view: { messages: ["u1", "a1"], state: { lang: "de" } },
  },
];
