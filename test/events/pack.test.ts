import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import { packEvents, unpackEvents } from "../../src/events/json/pack.ts";
import { interleavedRun, looseEvent, plainRun } from "./random-runs.ts";

const word = (delta: unknown, fields: object = {}): EventLike => ({
  type: "TEXT_MESSAGE_CONTENT",
  messageId: "m",
  delta,
  ...fields,
});

const times = <T>(count: number, make: (at: number) => T): T[] =>
  Array.from({ length: count }, (_, at) => make(at));

/** Packs and unpacks. The order of fields counts, because it shows in JSON. */
function expectSame(events: readonly EventLike[]): void {
  const back = unpackEvents(packEvents(events));
  expect(back).toStrictEqual(events);
  expect(back.map((event) => Object.keys(event))).toEqual(
    events.map((event) => Object.keys(event)),
  );
}

describe("packed events", () => {
  test("are unpacked unchanged: deltas, with or without a timestamp", () => {
    expectSame(times(20, (at) => word(`word ${at}`)));
    expectSame(times(20, (at) => ({ timestamp: at / 3, ...word(`\ud800\u0000"${at}`) })));
    expectSame(times(20, () => word("the same")));
  });

  test("take one entry for many events", () => {
    expect(packEvents(times(1000, (at) => word(`word ${at}`)))).toHaveLength(1);
  });

  test("are unpacked unchanged with nested values, and take one entry", () => {
    const nested = (at: number) =>
      word("w", { value: { at, note: `step ${at}`, list: [at, { deep: [null, true, ""] }, []] } });
    expectSame(times(20, nested));
    expect(packEvents(times(1000, nested))).toHaveLength(1);
    expectSame(times(20, (at) => word("w", { value: JSON.parse(`{"2":${at},"a":1,"1":{}}`) })));
  });

  test("that a string cannot hold together stay the same objects", () => {
    const long = "x".repeat(100_000_000);
    const events = times(8, (at) => word(long + String(at)));
    const packed = packEvents(events);
    expect(packed.map((event, at) => event === events[at])).toEqual(times(8, () => true));
  });

  test("stay the same objects if they hold values that JSON cannot hold, or too many", () => {
    const odd: ((at: number) => unknown)[] = [
      () => undefined,
      (at) => BigInt(at),
      () => Number.NaN,
      () => -0,
      (at) => times(100, () => at),
      () => () => undefined,
      (at) => ({ at, list: [-0] }),
      () => ({ toJSON: () => 1 }),
      () => JSON.parse('{"__proto__":1}') as object,
      () => Object.create(null) as object,
      () => new Array(3),
      () => Object.assign([1], { more: 2 }),
      () => new (class extends Array<number> {})(),
      () => ({ at: undefined }),
      () => Symbol("s"),
      () => new Date(0),
    ];
    for (const value of odd) {
      const events = times(20, (at) => word("w", { value: value(at) }));
      const back = unpackEvents(packEvents(events));
      for (const [at, event] of events.entries()) expect(back[at]).toBe(event);
    }
  });

  test("stay the same objects if they are not plain objects", () => {
    class Word {
      readonly type = "TEXT_MESSAGE_CONTENT";
      readonly [field: string]: unknown;
    }
    const makers: (() => EventLike)[] = [
      () => new Word(),
      () => Object.assign(Object.create(null) as object, word("w")) as EventLike,
      () => word("w", { [Symbol("s")]: 1 }),
      () => JSON.parse('{"type":"CUSTOM","__proto__":1}') as EventLike,
      brokenGetter,
      () =>
        new Proxy(word("w"), {
          ownKeys: () => {
            throw new Error("no");
          },
        }),
    ];
    for (const make of makers) {
      const events = times(20, make);
      const back = unpackEvents(packEvents(events));
      for (const [at, event] of events.entries()) expect(back[at] === event).toBe(true);
    }
  });

  test("are unpacked unchanged for any run, and for an empty list", () => {
    const run = fc.oneof(
      interleavedRun,
      plainRun,
      fc.array(looseEvent, { maxLength: 60, size: "max" }),
    );
    fc.assert(fc.property(run, expectSame));
    const repeated = fc.tuple(fc.array(looseEvent, { minLength: 1, maxLength: 3 }), fc.nat(30));
    fc.assert(
      fc.property(repeated, ([events, count]) => expectSame(times(count, () => events).flat())),
    );
  });
});

/** Spreading it into another object would read it. */
function brokenGetter(): EventLike {
  return Object.defineProperty({ type: "CUSTOM" }, "broken", {
    enumerable: true,
    get() {
      throw new Error("no");
    },
  });
}
