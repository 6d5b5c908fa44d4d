import { describe, expect, test } from "vitest";
import { inputOfRun } from "../../src/events/view/run-input.ts";
import { ThreadView } from "../../src/events/view/thread-view.ts";

const message = (id: string, role = "user") => ({ id, role, content: `text of ${id}` });
const ids = { threadId: "t", runId: "r" };

function viewWith(messages: readonly object[], state: unknown = {}): ThreadView {
  const view = new ThreadView();
  view.apply({ type: "MESSAGES_SNAPSHOT", messages });
  view.apply({ type: "STATE_SNAPSHOT", snapshot: state });
  return view;
}

const known = [message("q1"), message("a1", "assistant")];
const startedWith = (messages: readonly object[]) => ({
  ...{ type: "RUN_STARTED", ...ids },
  input: { messages },
});

describe("the whole input of a run", () => {
  test("has the messages of the view and those that the run brought, not those that it emitted", () => {
    const events = [
      startedWith([message("q2")]),
      { type: "TEXT_MESSAGE_START", messageId: "a2", role: "assistant" },
      { type: "TEXT_MESSAGE_CONTENT", messageId: "a2", delta: "half" },
    ];
    const stored = { ...ids, messages: [message("q2")], tools: [{ name: "look" }] };
    expect(inputOfRun(viewWith(known), { ...ids, events, stored })).toEqual({
      ...{ ...ids, context: [], forwardedProps: {}, state: {} },
      ...{ messages: [...known, message("q2")], tools: [{ name: "look" }] },
    });
  });

  test.each([
    ["no RUN_STARTED", []],
    ["a RUN_STARTED without an input", [{ type: "RUN_STARTED", ...ids }]],
    ["a RUN_STARTED with an input of the agent", [startedWith([message("q2")])]],
  ])("has the messages of the stored input, with %s", (_, events) => {
    const stored = { messages: [message("q2"), message("q3")] };
    const { messages } = inputOfRun(viewWith(known), { ...ids, events, stored });
    expect(messages).toEqual([...known, message("q2"), message("q3")]);
  });

  test("has the state that the client sent, or else that of the view", () => {
    const events = [startedWith([])];
    const before = () => viewWith(known, { theme: "dark" });
    const stateOf = (stored: object) => inputOfRun(before(), { ...ids, events, stored }).state;
    expect(stateOf({ state: { theme: "light" } })).toEqual({ theme: "light" });
    expect(stateOf({ state: {} })).toEqual({});
    expect(stateOf({})).toEqual({ theme: "dark" });
  });

  test("has no activities, which clients keep to themselves", () => {
    const activity = { id: "x", role: "activity", activityType: "plan", content: {} };
    const stored = { messages: [message("q2")] };
    const view = viewWith([...known, activity]);
    const { messages } = inputOfRun(view, { ...ids, events: [], stored });
    expect(messages).toEqual([...known, message("q2")]);
  });

  test.each([[null], ["text"], [5], [[]], [{ messages: 5, state: null }]])(
    "can be made of whatever is stored: %j",
    (stored) => {
      const input = inputOfRun(viewWith(known), { ...ids, events: [], stored });
      expect(input).toMatchObject({ ...ids, messages: known });
    },
  );
});
