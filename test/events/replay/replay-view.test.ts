import { expect, test } from "vitest";
import type { EventLike } from "../../../src/events/event.ts";
import { type InParts, ReplayView } from "../../../src/events/replay/replay-view.ts";
import type { Message } from "../../../src/events/view/message.ts";

const MESSAGES = 5000;
const MAX_IN_A_PART = 500;

/** Messages that tell which of them were looked at. */
function watchedMessages(seen: Set<number>): readonly Message[] {
  return Array.from({ length: MESSAGES }, (_, at) => ({
    id: `m${at}`,
    role: "assistant",
    get content() {
      seen.add(at);
      return `content of ${at}`;
    },
    get toolCalls() {
      seen.add(at);
      return undefined;
    },
  }));
}

const viewOf = (messages: readonly Message[]) =>
  ({ version: 1, messages, state: {}, pendingInterrupts: [], openChunks: [] }) as const;

/** Does the work, and returns its events and how many messages the busiest part looked at. */
function workOf(parts: InParts<EventLike | null>, seen: Set<number>) {
  const events: EventLike[] = [];
  let most = 0;
  seen.clear();
  for (const event of parts) {
    most = Math.max(most, seen.size);
    seen.clear();
    if (event !== null) events.push(event);
  }
  return { events, most: Math.max(most, seen.size) };
}

function startedView(): ReplayView {
  const view = new ReplayView();
  view.show({ type: "RUN_STARTED", threadId: "t", runId: "r" });
  return view;
}

test("a long view is taken in parts, and shown by one snapshot of its own messages", () => {
  const seen = new Set<number>();
  const messages = watchedMessages(seen);
  const view = startedView();
  const taken = workOf(view.expect(viewOf(messages)), seen);
  expect(taken.most).toBeGreaterThan(0);
  expect(taken.most).toBeLessThanOrEqual(MAX_IN_A_PART);

  const { events, most } = workOf(view.corrections(), seen);
  expect(most).toBeLessThanOrEqual(MAX_IN_A_PART);
  expect(events.map(({ type }) => type)).toEqual(["MESSAGES_SNAPSHOT"]);
  const shown = events[0]?.messages as readonly Message[];
  expect(shown).toHaveLength(MESSAGES);
  expect(shown.every((message, at) => message === messages[at])).toBe(true);
});

test("two long views are compared in parts, without those messages that are the same object", () => {
  const seen = new Set<number>();
  const first = watchedMessages(seen);
  const view = startedView();
  workOf(view.expect(viewOf(first)), seen);
  for (const event of view.corrections()) if (event !== null) view.show(event);

  workOf(view.expect(viewOf(watchedMessages(seen))), seen);
  const apart = workOf(view.corrections(), seen);
  expect(apart.events).toEqual([]);
  expect(apart.most).toBeGreaterThan(0);
  expect(apart.most).toBeLessThanOrEqual(MAX_IN_A_PART);

  workOf(view.expect(viewOf(first)), seen);
  expect(workOf(view.corrections(), seen)).toEqual({ events: [], most: 0 });
});

test("a state that the client set is corrected without a look at the messages", () => {
  const seen = new Set<number>();
  const view = startedView();
  workOf(view.expect(viewOf(watchedMessages(seen))), seen);
  for (const event of view.corrections()) if (event !== null) view.show(event);

  seen.clear();
  const start = { type: "RUN_STARTED", threadId: "t", runId: "r2", input: { state: { a: 1 } } };
  view.takeStart(start);
  view.show(view.shownOf(start));
  view.show({ type: "STATE_DELTA", delta: [{ op: "add", path: "/b", value: 2 }] });
  const { events } = workOf(view.corrections(), seen);
  expect(events).toEqual([{ type: "STATE_SNAPSHOT", snapshot: { a: 1, b: 2 } }]);
  expect(seen.size).toBe(0);
});
