import { describe, expect, test } from "vitest";
import { clientMessagesOf, type ListedMessage } from "../../../src/events/client-messages.ts";
import type { EventLike } from "../../../src/events/event.ts";
import { digestOfMessage, digestsOf } from "../../../src/events/message-digests.ts";
import { ThreadView } from "../../../src/events/view/thread-view.ts";

/** A thread, as a store has it: what its runs emitted, and what their inputs said. */
class StoredThread {
  readonly view = new ThreadView();
  readonly #digests = new Map<string, number>();

  /** A run that says `answer` in the message `answerId` after the client sent `messages`. */
  run(messages: readonly ListedMessage[], events: readonly EventLike[], state?: unknown): this {
    const ids = messages.map(({ id }) => (typeof id === "string" ? id : ""));
    const seen = ids.map((id) => this.#digests.has(id));
    const changed = [...ids.keys()].filter((at) => {
      const stored = this.#digests.get(ids[at] ?? "");
      return stored !== undefined && stored !== digestOfMessage(messages[at]);
    });
    const clientMessages = clientMessagesOf(messages, ids, { seen, changed });
    const input = { messages: messages.filter((_, at) => !seen[at]), state };
    const started = { type: "RUN_STARTED", input, ...(clientMessages && { clientMessages }) };
    const stored = [started, ...events, { type: "RUN_FINISHED" }];
    for (const event of stored) this.view.applyStored(event);
    for (const [id, digest] of digestsOf(stored)) this.#digests.set(id, digest);
    return this;
  }

  get ids(): unknown[] {
    return this.view.messages.map(({ id }) => id);
  }
}

const user = (id: string, content = `text of ${id}`) => ({ id, role: "user", content });
const answer = (id: string) => ({ id, role: "assistant", content: `text of ${id}` });
const result = (id: string, toolCallId = "c1", content = "done") => ({
  id,
  role: "tool",
  toolCallId,
  content,
});
const caller = (id: string, ...toolCallIds: string[]) => ({
  id,
  role: "assistant",
  toolCalls: toolCallIds.map((call) => ({
    id: call,
    type: "function",
    function: { name: "ask", arguments: "{}" },
  })),
});
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

/** u1 a1 u2 a2 */
const talk = () =>
  new StoredThread()
    .run([user("u1")], saying("a1"))
    .run([user("u1"), answer("a1"), user("u2")], saying("a2"));

describe("a new message stands where the client's list has it", () => {
  test("the result of a frontend tool, behind its call, though text came after the call", () => {
    const thread = new StoredThread()
      .run([user("u1")], [...calling("a1", "c1"), ...saying("a2")])
      .run([user("u1"), caller("a1", "c1"), result("t1"), answer("a2")], saying("a3"));
    expect(thread.ids).toEqual(["u1", "a1", "t1", "a2", "a3"]);
  });

  test("the results of several calls, in their order", () => {
    const thread = new StoredThread()
      .run([user("u1")], [...calling("a1", "c1"), ...calling("a1", "c2"), ...saying("a2")])
      .run(
        [user("u1"), caller("a1", "c1", "c2"), result("t1"), result("t2", "c2"), answer("a2")],
        [],
      );
    expect(thread.ids).toEqual(["u1", "a1", "t1", "t2", "a2"]);
  });

  test("a message before all others", () => {
    const system = { id: "s", role: "system", content: "Be brief." };
    const thread = talk().run(
      [system, user("u1"), answer("a1"), user("u2"), answer("a2"), user("u3")],
      [],
    );
    expect(thread.ids).toEqual(["s", "u1", "a1", "u2", "a2", "u3"]);
  });
});

describe("a known message that comes with another content has that content", () => {
  test("the result of a tool call", () => {
    const thread = new StoredThread()
      .run([user("u1")], calling("a1", "c1"))
      .run([user("u1"), caller("a1", "c1"), result("t1", "c1", "pending")], saying("a2"))
      .run([user("u1"), caller("a1", "c1"), result("t1", "c1", "yes"), answer("a2")], []);
    expect(thread.ids).toEqual(["u1", "a1", "t1", "a2"]);
    expect(thread.view.messages[2]).toMatchObject({ content: "yes" });
  });

  test("a question and an answer that the user edited", () => {
    const edited = { ...answer("a1"), content: "edited" };
    const thread = talk().run(
      [user("u1", "edited"), edited, user("u2"), answer("a2"), user("u3")],
      [],
    );
    expect(thread.view.messages.slice(0, 2)).toEqual([user("u1", "edited"), edited]);
    expect(thread.ids).toEqual(["u1", "a1", "u2", "a2", "u3"]);
  });

  test("once: a client that sends it again changes nothing", () => {
    const list = [user("u1", "edited"), answer("a1"), user("u2"), answer("a2")];
    const thread = talk().run([...list, user("u3")], saying("a3"));
    thread.run([...list, user("u3"), answer("a3"), user("u4")], []);
    expect(thread.view.messages[0]).toEqual(user("u1", "edited"));
    expect(thread.ids).toEqual(["u1", "a1", "u2", "a2", "u3", "a3", "u4"]);
  });
});

describe("a result under another id", () => {
  const placeholder = (id: string): EventLike => ({
    type: "TOOL_CALL_RESULT",
    messageId: id,
    toolCallId: "c1",
    content: "Forwarded to client",
  });

  test("replaces the one that the client's list does not have any more", () => {
    const thread = new StoredThread()
      .run([user("u1")], [...calling("a1", "c1"), placeholder("ph"), ...saying("a2")])
      .run([user("u1"), caller("a1", "c1"), result("t1"), answer("a2")], saying("a3"));
    expect(thread.ids).toEqual(["u1", "a1", "t1", "a2", "a3"]);
  });

  test("stands beside it when the list has both", () => {
    const both = [result("ph", "c1", "Forwarded to client"), result("t1")];
    const thread = new StoredThread()
      .run([user("u1")], [...calling("a1", "c1"), placeholder("ph")])
      .run([user("u1"), caller("a1", "c1"), ...both], []);
    expect(thread.ids).toEqual(["u1", "a1", "ph", "t1"]);
  });
});

describe("a list that ends early", () => {
  test("and has nothing new at its end cuts the view there", () => {
    expect(talk().run([user("u1")], saying("a3")).ids).toEqual(["u1", "a3"]);
    expect(talk().run([user("u1"), answer("a1"), user("u2")], saying("a3")).ids).toEqual([
      "u1",
      "a1",
      "u2",
      "a3",
    ]);
  });

  test("is cut at once more, after it was answered again", () => {
    const thread = talk()
      .run([user("u1")], saying("a3"))
      .run([user("u1")], saying("a4"));
    expect(thread.ids).toEqual(["u1", "a4"]);
  });

  test("and in something new drops nothing: it may be of a stale tab", () => {
    expect(talk().run([user("u1"), answer("a1"), user("u3")], saying("a3")).ids).toEqual([
      "u1",
      "a1",
      "u2",
      "a2",
      "u3",
      "a3",
    ]);
  });

  test("and is no beginning of the view drops nothing", () => {
    const ids = ["u1", "a1", "u2", "a2", "a3"];
    expect(talk().run([answer("a1"), user("u2")], saying("a3")).ids).toEqual(ids);
    expect(talk().run([user("u1"), user("u2")], saying("a3")).ids).toEqual(ids);
    expect(talk().run([], saying("a3")).ids).toEqual(ids);
  });

  test("keeps what stands behind it that clients do not send back", () => {
    const activity = { type: "ACTIVITY_SNAPSHOT", messageId: "p", activityType: "P", content: {} };
    const thread = new StoredThread().run([user("u1")], [...saying("a1"), activity]);
    expect(thread.run([user("u1"), answer("a1")], saying("a2")).ids).toEqual([
      "u1",
      "a1",
      "p",
      "a2",
    ]);
    expect(thread.run([user("u1")], saying("a3")).ids).toEqual(["u1", "a3"]);
  });
});

describe("a list that is authoritative", () => {
  const take = (view: ThreadView, list: readonly unknown[]) => {
    const input = { messages: list };
    view.applyStored({ type: "RUN_STARTED", input, clientMessages: { authoritative: true } });
    return view.messages.map(({ id }) => id);
  };

  test("is the view", () => {
    expect(take(talk().view, [user("u1"), answer("a1"), user("u3")])).toEqual(["u1", "a1", "u3"]);
    expect(take(talk().view, [user("u2"), user("u1", "edited")])).toEqual(["u2", "u1"]);
    expect(take(talk().view, [])).toEqual([]);
  });

  test("leaves activities behind the message that they followed", () => {
    const activity = (messageId: string) => ({
      ...{ type: "ACTIVITY_SNAPSHOT", messageId, activityType: "P", content: {} },
    });
    const { view } = new StoredThread().run(
      [user("u1")],
      [activity("p"), ...saying("a1"), activity("q"), ...saying("a2"), activity("r")],
    );
    expect(take(view, [user("u1"), answer("a2"), user("u3")])).toEqual([
      "u1",
      "p",
      "a2",
      "r",
      "u3",
    ]);
  });
});

describe("the state that the client sent", () => {
  const stateAfter = (...states: unknown[]) => {
    const thread = new StoredThread().run(
      [user("u1")],
      [{ type: "STATE_SNAPSHOT", snapshot: { lang: "en" } }],
    );
    for (const state of states) thread.run([user("u1")], [], state);
    return thread.view.state;
  };

  test("is the view's", () => {
    expect(stateAfter({ lang: "de" })).toEqual({ lang: "de" });
    expect(new StoredThread().run([user("u1")], [], { first: true }).view.state).toEqual({
      first: true,
    });
  });

  test.each([[{}], [undefined], [null]])("wipes nothing when it is %j", (state) => {
    expect(stateAfter(state)).toEqual({ lang: "en" });
  });

  test("is what the agent's deltas apply to", () => {
    const delta = [{ op: "add", path: "/b", value: 2 }];
    const thread = new StoredThread();
    thread.run([user("u1")], [{ type: "STATE_DELTA", delta }], { a: 1 });
    expect(thread.view.state).toEqual({ a: 1, b: 2 });
  });
});

test.each([
  [null],
  ["x"],
  [[]],
  [{ authoritative: "yes" }],
  [{ edits: [null, ["a"], "x", { message: 5 }, { id: {} }], end: 7 }],
  [{ end: { id: 5, count: "x", digest: null } }],
])("what is no record has no effect: %j", (clientMessages) => {
  const { view } = talk();
  view.applyStored({ type: "RUN_STARTED", clientMessages });
  expect(view.messages.map(({ id }) => id)).toEqual(["u1", "a1", "u2", "a2"]);
});

test("the edits of a long list are applied with a few looks at each message", () => {
  const length = 1000;
  let looks = 0;
  const messages = Array.from({ length }, (_, at) => ({
    get id() {
      looks++;
      return `m${at}`;
    },
    role: "user",
    content: "said",
  }));
  const view = new ThreadView({ messages });
  const edits = messages.flatMap((_, at) => [
    { id: `m${at}`, after: null, message: user(`m${at}`, "changed") },
    { id: `n${at}`, after: `m${at}`, message: user(`n${at}`) },
  ]);
  looks = 0;

  view.applyStored({ type: "RUN_STARTED", clientMessages: { edits } });

  expect(view.messages.slice(-2)).toEqual([
    user(`m${length - 1}`, "changed"),
    user(`n${length - 1}`),
  ]);
  expect(view.messages).toHaveLength(2 * length);
  expect(looks).toBeLessThan(20 * length);
});
