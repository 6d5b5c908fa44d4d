import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Span, TimelineAnswer } from "../../src/inspector/api.ts";
import { wordDifference } from "../../src/inspector/page/compare/word-difference.ts";
import { ago, duration, size } from "../../src/inspector/page/format.ts";
import { differences } from "../../src/inspector/page/parts/differences.ts";
import { depthsOf, scaleOf } from "../../src/inspector/page/timeline/scale.ts";

describe("the word difference of two texts", () => {
  const text = fc
    .array(fc.constantFrom("rain", "sun", " ", "\n", "11", "16"))
    .map((w) => w.join(""));
  const textOf = (parts: ReturnType<typeof wordDifference>, without: string) =>
    (parts ?? []).flatMap(({ kind, text }) => (kind === without ? [] : text)).join("");

  it("gives both texts back", () => {
    fc.assert(
      fc.property(text, text, (before, after) => {
        const parts = wordDifference(before, after);
        expect(textOf(parts, "added")).toBe(before);
        expect(textOf(parts, "removed")).toBe(after);
      }),
    );
  });

  it("keeps the words that both have", () => {
    expect(wordDifference("it is 11 degrees", "it is 16 degrees")).toEqual([
      { kind: "same", text: "it is " },
      { kind: "removed", text: "11" },
      { kind: "added", text: "16" },
      { kind: "same", text: " degrees" },
    ]);
  });

  it("is not made of texts that would take long", () => {
    expect(wordDifference("a ".repeat(3000), "b ".repeat(3000))).toBeNull();
  });
});

describe("the differences of two values", () => {
  it("are named by their places", () => {
    const before = { plans: ["museum"], sky: { now: "sun" }, gone: 1 };
    const after = { plans: ["museum", "walk"], sky: { now: "rain" }, constructor: 2 };
    expect(differences(before, after)).toEqual([
      { path: "plans[1]", before: undefined, after: "walk" },
      { path: "sky.now", before: "sun", after: "rain" },
      { path: "gone", before: 1, after: undefined },
      { path: "constructor", before: undefined, after: 2 },
    ]);
  });

  it("are none of equal values, and at most as many as asked for", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(differences(value, structuredClone(value))).toEqual([]);
      }),
    );
    expect(differences([1, 2, 3], [4, 5, 6], 2)).toHaveLength(2);
    expect(differences([1], { 0: 1 })).toHaveLength(1);
  });
});

describe("the scale of a timeline", () => {
  const span = (fields: Partial<Span>): Span => ({
    kind: "tool",
    id: "t",
    label: "t",
    parent: 0,
    from: 0,
    to: 0,
    startedAt: null,
    endedAt: null,
    durationMs: null,
    bytes: 0,
    preview: "",
    isOpen: false,
    ...fields,
  });
  const timeline = (spans: readonly Span[], isTimed: boolean): TimelineAnswer => ({
    spans,
    isCut: false,
    events: 10,
    times: { startedAt: null, endedAt: null, durationMs: null, timedEvents: 0 },
    isTimed,
    marks: [],
  });

  it("is that of the clock, where there are timestamps", () => {
    const spans = [
      span({ startedAt: 1000, endedAt: 2000 }),
      span({ startedAt: 1500, isOpen: true }),
      span({}),
    ];
    const scale = scaleOf(timeline(spans, true));
    expect(scale.length).toBe(1000);
    expect(spans.map((each) => scale.of(each))).toEqual([
      { left: 0, width: 100 },
      { left: 50, width: 50 },
      null,
    ]);
    expect([scale.at(0, 1250), scale.at(0, null)]).toEqual([25, null]);
  });

  it("is that of the events, where there are none", () => {
    const spans = [span({ from: 0, to: 9, parent: null }), span({ from: 5, to: 5, parent: 0 })];
    const scale = scaleOf(timeline(spans, false));
    expect(spans.map((each) => scale.of(each))).toEqual([
      { left: 0, width: 100 },
      { left: 50, width: 10 },
    ]);
    expect(depthsOf(spans)).toEqual([0, 1]);
  });
});

describe("what people read", () => {
  it("is short", () => {
    expect([0, 999, 1500, 9_990_000, 2e12].map(size)).toEqual([
      "0 B",
      "999 B",
      "1.5 kB",
      "10.0 MB",
      "2.0 TB",
    ]);
    expect([0, 999, 1500, 59_900, 125_000, 11_040_000, 183_600_000].map(duration)).toEqual([
      "0 ms",
      "999 ms",
      "1.5 s",
      "60 s",
      "2 min 5 s",
      "3 h 4 min",
      "2 d 3 h",
    ]);
    expect([0, 7000, 65_000, 86_400_000].map((passed) => ago(0, passed))).toEqual([
      "now",
      "7 s ago",
      "1 min ago",
      "1 d ago",
    ]);
  });
});
