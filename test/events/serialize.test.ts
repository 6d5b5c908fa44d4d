import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import { serializeEvent, serializeValue } from "../../src/events/json/serialize.ts";

const all = { rawEvents: true };
const noRaw = { rawEvents: false };

function parsed(event: EventLike, options = all): unknown {
  const serialized = serializeEvent(event, options);
  return serialized === null ? null : (JSON.parse(serialized.json ?? "null") as unknown);
}

describe("an event", () => {
  test("is JSON, with every string intact", () => {
    const event = { type: "CUSTOM", value: "\u0000 \ud800 \u2028 é" };
    const serialized = serializeEvent(event, all);
    expect(JSON.parse(serialized?.json ?? "")).toEqual(event);
    expect(serialized?.lost).toEqual([]);
    expect(serialized?.json).toContain("\\u0000 \\ud800");
  });

  test("with a circular raw event loses only the circular reference", () => {
    const socket: Record<string, unknown> = { port: 80 };
    const rawEvent = { id: 1, socket, sockets: [socket] };
    socket.owner = rawEvent;
    const serialized = serializeEvent({ type: "CUSTOM", value: 1, rawEvent }, all);
    expect(JSON.parse(serialized?.json ?? "")).toEqual({
      type: "CUSTOM",
      value: 1,
      rawEvent: { id: 1, socket: { port: 80 }, sockets: [{ port: 80 }] },
    });
    expect(serialized?.lost).toEqual(["rawEvent.socket.owner"]);
    expect(socket.owner).toBe(rawEvent);
  });

  test("with BigInts, throwing getters and a throwing toJSON loses only those values", () => {
    const value = {
      big: [1n, 2],
      get broken() {
        throw new Error("no");
      },
      bad: {
        toJSON() {
          throw new Error("no");
        },
      },
      date: new Date(0),
      boxed: Object("s") as unknown,
      named: JSON.parse('{"__proto__":{"a":1}}') as unknown,
    };
    const serialized = serializeEvent({ type: "CUSTOM", value }, all);
    expect(JSON.parse(serialized?.json ?? "")).toEqual({
      type: "CUSTOM",
      value: { big: [null, 2], date: "1970-01-01T00:00:00.000Z", boxed: "s", named: value.named },
    });
    expect(serialized?.json).toContain('"named":{"__proto__":{"a":1}}');
    expect(serialized?.lost).toEqual(["value.big[0]", "value.broken", "value.bad"]);
  });

  test("whose toJSON returns undefined is not stored", () => {
    expect(parsed({ type: "CUSTOM", toJSON: () => undefined })).toBeNull();
    expect(parsed({ type: "CUSTOM", toJSON: () => "text" })).toBeNull();
  });

  test("is stored without raw events if rawEvents is false", () => {
    expect(parsed({ type: "RAW", event: 1 }, noRaw)).toBeNull();
    expect(parsed({ type: "RAW", event: 1 })).toEqual({ type: "RAW", event: 1 });
    const event = { type: "CUSTOM", value: { rawEvent: 1 }, rawEvent: { big: 1n } };
    expect(parsed(event, noRaw)).toEqual({ type: "CUSTOM", value: { rawEvent: 1 } });
    expect(event.rawEvent).toEqual({ big: 1n });
  });
});

describe("a value", () => {
  test("that JSON cannot express is null", () => {
    expect(serializeValue(undefined)).toEqual({ json: "null", lost: [] });
    expect(serializeValue(1n)).toEqual({ json: "null", lost: [""] });
  });

  test("of objects that all refer to each other is serialized in bounded time", () => {
    const nodes = Array.from({ length: 300 }, (_, id) => ({ id, links: [] as unknown[] }));
    for (const node of nodes) node.links = nodes;
    const { json, lost } = serializeValue({ nodes, after: 1 });
    expect((JSON.parse(json) as { after: unknown }).after).toBe(1);
    expect(json.length).toBeLessThan(10_000_000);
    expect(lost).toHaveLength(100);
  });

  test("that grows while it is read is serialized in bounded time", () => {
    const bottomless = { toJSON: () => ({ a: { toJSON: bottomless.toJSON }, b: bottomless }) };
    expect(() => JSON.parse(serializeValue(bottomless).json)).not.toThrow();
    let deep: unknown = 1n;
    for (let depth = 0; depth < 100_000; depth++) deep = [deep];
    expect(() => JSON.parse(serializeValue(deep).json)).not.toThrow();
  });

  test("that is plain JSON is unchanged", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(serializeValue(value)).toEqual({ json: JSON.stringify(value), lost: [] });
      }),
    );
  });
});

describe("any value", () => {
  const anything = fc.anything({
    withBigInt: true,
    withBoxedValues: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withSparseArray: true,
    withNullPrototype: true,
    withObjectString: true,
  });

  test("becomes JSON that parses", () => {
    fc.assert(
      fc.property(anything, fc.boolean(), (value, rawEvents) => {
        JSON.parse(serializeValue(value).json);
        const circular: Record<string, unknown> = { value };
        circular.self = circular;
        expect(serializeValue(circular).lost).toContain("self");
        const event = { type: "CUSTOM", value, rawEvent: value };
        expect(parsed(event, { rawEvents })).toMatchObject({ type: "CUSTOM" });
      }),
    );
  });

  test("gets the same JSON from toStorable, except for the lost parts", () => {
    fc.assert(
      fc.property(fc.anything({ withDate: true, withBoxedValues: true }), (value) => {
        const expected = JSON.stringify({ value });
        const slow = serializeValue({ value, big: 1n });
        expect(slow.json).toBe(expected);
        expect(slow.lost).toEqual(["big"]);
      }),
    );
  });

  test("is not changed", () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true }), (value) => {
        const copy = fc.stringify(value);
        serializeEvent({ type: "CUSTOM", value, rawEvent: 1n }, noRaw);
        expect(fc.stringify(value)).toBe(copy);
      }),
    );
  });
});
