import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import type { ViewStep } from "../../src/protocol/compactor-messages.ts";
import { packView, unpackView } from "../../src/runs/packed-view.ts";
import { makeViewStep } from "../../src/runs/view-step.ts";
import { type RandomRun, randomThread } from "../events/view/random-threads.ts";
import { seed } from "../events/view/seed.ts";

const IDS = "m1 t1 q1 act1 u1 result1 m2 q2 u2 result2 a b c d".split(" ");

/** A run that leaves so long a view that it is kept in several chunks. */
const longRun = {
  runId: "long",
  events: JSON.stringify([
    { type: "RUN_STARTED", threadId: "t", runId: "long" },
    {
      type: "MESSAGES_SNAPSHOT",
      messages: IDS.map((id) => ({ id, role: "user", content: `${id} `.padEnd(16_000, "-") })),
    },
    { type: "RUN_FINISHED", threadId: "t", runId: "long" },
  ]),
};

const answerTo = (runId: string, messageId: string) => ({
  runId,
  events: JSON.stringify([
    { type: "RUN_STARTED", threadId: "t", runId },
    { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
    { type: "TEXT_MESSAGE_CONTENT", messageId, delta: "answer" },
    { type: "TEXT_MESSAGE_END", messageId },
    { type: "RUN_FINISHED", threadId: "t", runId },
  ]),
});

type StoredRuns = readonly { readonly runId: string; readonly events: string }[];

function step(start: Uint8Array | null, stored: StoredRuns, runsToSince: number | null = null) {
  const runs = stored.map((run) => ({ ...run, shared_events: null }));
  const nothing = { chunks: [], lengthBefore: 0, keptBytes: null };
  return makeViewStep({ threadId: "t", start, runs, runsToSince, ...nothing, isLast: false });
}

const parsed = ({ rest, messages }: Pick<ViewStep, "rest" | "messages">) => ({
  rest: JSON.parse(rest),
  messages: messages.flatMap((chunk) => JSON.parse(chunk)),
});

const storedRuns = (runs: readonly RandomRun[]): StoredRuns =>
  runs.map(({ events }, at) => ({ runId: `r${at}`, events: JSON.stringify(events) }));

test("a view is the same whether or not it was kept in between, for any thread", () => {
  const property = fc.property(randomThread, fc.nat(), (thread, cut) => {
    const runs = [longRun, ...storedRuns(thread), ...storedRuns(thread.slice(0, 1))];
    const at = 1 + (cut % runs.length);
    const whole = step(null, runs);
    const before = step(null, runs.slice(0, at));
    const { packed } = before;
    // JSON cannot tell one message that stands in two places from two equal ones.
    const ids = parsed(before).messages.map(({ id }) => id);
    fc.pre(new Set(ids).size === ids.length);
    expect(parsed(step(packed, runs.slice(at)))).toEqual(parsed(whole));
  });
  fc.assert(property, { seed, numRuns: 100, endOnFailure: true });
});

test("what a view has beyond an earlier one makes it whole, for any thread", () => {
  const property = fc.property(randomThread, fc.nat(), (thread, cut) => {
    const runs = [longRun, ...storedRuns(thread)];
    const at = cut % (runs.length + 1);
    const whole = parsed(step(null, runs));
    const earlier = parsed(step(null, runs.slice(0, at))).messages;
    const later = step(null, runs, at);
    expect(later.same?.of).toBe(earlier.length);
    const { rest, messages } = parsed(later);
    expect({ rest, messages: [...earlier.slice(0, later.same?.count), ...messages] }).toEqual(
      whole,
    );
  });
  fc.assert(property, { seed, numRuns: 100, endOnFailure: true });
});

describe("of a view that was kept", () => {
  // JSON.stringify writes no spaces: what has them was taken as it was kept.
  const spaced = (packed: Uint8Array) => {
    const view = unpackView(packed) ?? expect.fail("no view");
    const chunks = view.chunks.map(({ json }) => ({ json: `[ ${json.slice(1)}`, packed: null }));
    return { chunks, packed: packView({ ...view, chunks }) };
  };
  const { packed: first } = step(null, [longRun]);
  const kept = spaced(first ?? expect.fail("not packed"));

  test("all is sent as it is when no runs follow", () => {
    const { messages, packed } = step(kept.packed, []);
    expect(messages.length).toBeGreaterThan(2);
    expect(messages).toEqual(kept.chunks.map(({ json }) => json));
    expect(packed).toBeNull();
  });

  test("only the chunks with new messages are made again", () => {
    const { messages, packed } = step(kept.packed, [answerTo("next", "new")]);
    const isKept = (json: string) => kept.chunks.some((chunk) => chunk.json === json);
    expect(messages.slice(0, kept.chunks.length - 1).every(isKept)).toBe(true);
    const again = unpackView(packed ?? expect.fail("not packed"));
    expect(again?.chunks.map(({ json }) => json)).toEqual(messages);
  });

  test("the chunk of a changed message is made again, and no other", () => {
    const events: EventLike[] = [
      { type: "RUN_STARTED", threadId: "t", runId: "edit" },
      { type: "TEXT_MESSAGE_START", messageId: IDS[0], role: "user" },
      { type: "TEXT_MESSAGE_CONTENT", messageId: IDS[0], delta: " and more" },
      { type: "TEXT_MESSAGE_END", messageId: IDS[0] },
      { type: "RUN_FINISHED", threadId: "t", runId: "edit" },
    ];
    const { messages } = step(kept.packed, [{ runId: "edit", events: JSON.stringify(events) }]);
    expect(messages[0]).toContain(" and more");
    expect(messages[0]?.startsWith("[ ")).toBe(false);
    expect(messages.slice(1, -1).every((json) => json.startsWith("[ "))).toBe(true);
  });

  test("damage is noticed, wherever it is", () => {
    const { packed } = kept;
    for (let at = 0; at < packed.length; at += 97) {
      const damaged = Uint8Array.from(packed);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      expect(unpackView(damaged), `byte ${at}`).toBeUndefined();
    }
    expect(unpackView(packed.subarray(0, -1))).toBeUndefined();
    expect(unpackView(new Uint8Array())).toBeUndefined();
    expect(step(Uint8Array.of(1, 2, 3), []).isRestored).toBe(false);
  });
});
