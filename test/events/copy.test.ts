import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import { copyEvent } from "../../src/events/json/copy.ts";

const json = JSON.stringify;

/** True if the two values share no object. */
function shareNothing(one: unknown, other: unknown): boolean {
  const objects = new Set<object>();
  const walk = (value: unknown, visit: (object: object) => boolean): boolean => {
    if (typeof value !== "object" || value === null) return true;
    return visit(value) && Object.values(value).every((item) => walk(item, visit));
  };
  walk(one, (object) => {
    if (objects.has(object)) return false;
    objects.add(object);
    return true;
  });
  return walk(other, (object) => !objects.has(object));
}

describe("copyEvent", () => {
  it("gives new objects with the same JSON, for any event", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (fields) => {
        const event = { ...fields, type: "CUSTOM" } as EventLike;
        const before = json(event);
        const copy = copyEvent(event);
        expect(json(copy)).toBe(before);
        expect(shareNothing(event, copy)).toBe(true);
      }),
    );
  });

  it("keeps the key __proto__, undefined and values that are no JSON in plain objects", () => {
    const event = JSON.parse('{"type":"CUSTOM","value":{"__proto__":{"a":[1]}}}') as EventLike;
    expect(json(copyEvent(event))).toBe(json(event));
    const odd = { type: "CUSTOM", value: [undefined, 1n, Number.NaN, boom] };
    expect(copyEvent(odd)).toEqual(odd);
  });

  it("copies class instances as JSON shows them", () => {
    class Point {
      readonly x = 1;
      get hidden(): number {
        return 2;
      }
    }
    const value = { at: new Date(0), point: new Point(), map: new Map([[1, 2]]) };
    const copy = copyEvent({ type: "CUSTOM", value, toJSON: undefined });
    expect(json(copy)).toBe(json({ type: "CUSTOM", value }));
    expect(shareNothing(value, copy)).toBe(true);
  });

  it("leaves out only the values that throw or contain themselves", () => {
    const cycle: Record<string, unknown> = { name: "n" };
    cycle.self = cycle;
    const event = {
      type: "CUSTOM",
      cycle,
      get broken() {
        throw new Error("boom");
      },
      list: [{ a: 1 }],
    };
    expect(copyEvent(event)).toEqual({ type: "CUSTOM", cycle: { name: "n" }, list: [{ a: 1 }] });
  });

  it("copies a shared object each time that it appears, up to a limit", () => {
    let shared: object = { end: 1 };
    // Copying every reference would give 2^30 objects.
    for (let at = 0; at < 30; at++) shared = { left: shared, right: shared };
    const copy = copyEvent({ type: "CUSTOM", shared });
    expect(copy.type).toBe("CUSTOM");
    expect(copy.shared).not.toBe(shared);
  });

  it("copies no missing items of a sparse array", () => {
    const list: unknown[] = [];
    list.length = 2 ** 32 - 1;
    expect(copyEvent({ type: "CUSTOM", name: "n", list })).toMatchObject({ name: "n" });
  });

  it("returns an event itself when its fields are getters of a class, which JSON does not see", () => {
    class Seen {
      get type() {
        return "CUSTOM";
      }
    }
    const event = new Seen() as unknown as EventLike;
    expect(copyEvent(event)).toBe(event);
  });

  it("never throws", () => {
    const unreadable = new Proxy({}, { get: () => boom() }) as EventLike;
    const { proxy, revoke } = Proxy.revocable({ type: "CUSTOM" }, {});
    revoke();
    for (const event of [unreadable, proxy]) expect(copyEvent(event) === event).toBe(true);
  });
});

function boom(): boolean {
  throw new Error("boom");
}
