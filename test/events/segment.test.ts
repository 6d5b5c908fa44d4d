import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compactRun } from "../../src/events/compact/compact.ts";
import type { EventLike } from "../../src/events/event.ts";
import { SegmentBuilder } from "../../src/events/json/segment.ts";
import { digestOfMessage, digestsOf } from "../../src/events/message-digests.ts";
import { interleavedRun, looseEvent, plainRun } from "./random-runs.ts";

const started = { type: "RUN_STARTED", threadId: "t", runId: "r" };
const finished = { type: "RUN_FINISHED", threadId: "t", runId: "r" };
const textStart = { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" };
const textEnd = { type: "TEXT_MESSAGE_END", messageId: "m" };
const text = (delta: string, fields: object = {}): EventLike => ({
  type: "TEXT_MESSAGE_CONTENT",
  messageId: "m",
  delta,
  ...fields,
});

/** Events as a store gives them back. */
const asStored = (events: readonly EventLike[]) => JSON.parse(JSON.stringify(events));

/** The segment of `events`, and the `compactMessages` of its builder. */
function segmentOf(events: readonly EventLike[], rawEvents = true) {
  const builder = new SegmentBuilder({ rawEvents });
  for (const event of events) builder.push(event);
  const { compactMessages } = builder;
  return { compactMessages, events: JSON.parse(builder.take()) as EventLike[] };
}

describe("a segment", () => {
  test("merges consecutive deltas, and keeps their other fields", () => {
    const timed = text("a", { timestamp: 7 });
    const marked = text("c", { metadata: { tokens: 1 } });
    const { events } = segmentOf([
      started,
      textStart,
      timed,
      text("b"),
      marked,
      text("d"),
      textEnd,
    ]);
    expect(events).toEqual([
      started,
      textStart,
      text("ab", { timestamp: 7 }),
      marked,
      text("d"),
      textEnd,
    ]);
  });

  test("holds the events as they were emitted, even if their objects are changed afterwards", () => {
    const builder = new SegmentBuilder({ rawEvents: true });
    const delta = { ...text("said") };
    const custom = { type: "CUSTOM", name: "note", value: { kept: true } };
    builder.push(delta);
    builder.push(custom);
    Object.assign(delta, { delta: "changed" });
    custom.value.kept = false;
    expect(JSON.parse(builder.take())).toEqual([
      text("said"),
      { type: "CUSTOM", name: "note", value: { kept: true } },
    ]);
  });

  test("is empty again after it was taken", () => {
    const builder = new SegmentBuilder({ rawEvents: true });
    builder.push(text("a"));
    expect(builder.length).toBeGreaterThan(0);
    expect(JSON.parse(builder.take())).toEqual([text("a")]);
    expect(builder.length).toBe(0);
    builder.push(text("b"));
    expect(JSON.parse(builder.take())).toEqual([text("b")]);
    expect(builder.take()).toBe("[]");
  });

  test("leaves out rawEvent fields if they are not stored, and merges those deltas", () => {
    const deltas = [text("a", { rawEvent: { n: 1 } }), text("b", { rawEvent: { n: 2 } })];
    expect(segmentOf(deltas, false).events).toEqual([text("ab")]);
  });

  test("does not count as compact before its run has ended, or with an open part", () => {
    expect(segmentOf([started, textStart, text("a"), textEnd]).compactMessages).toBeNull();
    expect(segmentOf([started, textStart, text("a"), finished]).compactMessages).toBeNull();
    expect(segmentOf([started, textStart, text("a"), textEnd, finished]).compactMessages).toEqual([
      ["m", digestOfMessage({ role: "assistant", content: "a" })],
    ]);
  });
});

describe("for any run", () => {
  const anyRun = fc.oneof(plainRun, interleavedRun);

  test("compacting the segment gives the same result as compacting the events", () => {
    fc.assert(
      fc.property(anyRun, (run) => {
        expect(asStored(compactRun(segmentOf(run).events, {}))).toEqual(
          asStored(compactRun(asStored(run), {})),
        );
      }),
    );
  });

  test("a segment that counts as compact equals the compacted run", () => {
    let compact = 0;
    fc.assert(
      fc.property(anyRun, (run) => {
        const { compactMessages, events } = segmentOf(run);
        if (compactMessages === null) return;
        compact++;
        expect(events).toEqual(asStored(compactRun(asStored(run), {})));
        expect(compactMessages).toEqual(digestsOf(run));
      }),
      { numRuns: 400 },
    );
    // The generators make such runs often enough: otherwise this would test nothing.
    expect(compact).toBeGreaterThan(10);
  });

  test("a segment is JSON for any events", () => {
    fc.assert(
      fc.property(fc.array(looseEvent), (events) => {
        expect(() => segmentOf(events)).not.toThrow();
      }),
    );
  });
});
