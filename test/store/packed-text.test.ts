import fc from "fast-check";
import { expect, test } from "vitest";
import { prose } from "../../bench/workloads/prose.ts";
import { parsePlaces } from "../../src/events/shared/places.ts";
import type { Place } from "../../src/events/shared/put-back.ts";
import { packText, unpackText } from "../../workers/sqlite/values/packed-text.ts";
import { packPlaces, placesJson } from "../../workers/sqlite/values/stored-places.ts";

/** Texts of all lengths: short, repeating, and longer than what is deflated. */
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 400 }),
  fc
    .tuple(fc.string({ unit: "binary", minLength: 1, maxLength: 40 }), fc.nat({ max: 8000 }))
    .map(([text, times]) => text.repeat(times)),
  fc.nat({ max: 3000 }).map((length) => prose(length, length)),
);

const anyPlace: fc.Arbitrary<Place> = fc.tuple(
  fc.oneof(fc.constantFrom("STATE_SNAPSHOT", "input.messages"), fc.string()),
  fc.nat(),
  fc
    .array(
      fc.oneof(
        fc.string({ unit: "binary" }).map((text) => [text]),
        fc.array(fc.nat(), { minLength: 3, maxLength: 3 }),
      ),
    )
    .map((pieces) => pieces.flat()),
);

test("a text comes back as it was, and is stored in no more bytes than it has", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const stored = packText(text);
      expect(unpackText(stored)).toBe(text);
      expect(Buffer.from(stored).length).toBeLessThanOrEqual(Buffer.from(text).length);
    }),
  );
});

test("places come back as they were", () => {
  fc.assert(
    fc.property(fc.array(anyPlace, { maxLength: 12 }), (places) => {
      expect(parsePlaces(placesJson(packPlaces(places)))).toEqual(places);
    }),
  );
});

test("of bytes that nothing was packed into, no error is made", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect([null, "string"]).toContain(unpackText(bytes) === null ? null : "string");
    }),
  );
  for (const stored of [null, undefined, 7, 7n, {}]) expect(unpackText(stored)).toBeNull();
});

test.each([
  ["a short text", "x".repeat(50)],
  ["a text that does not get shorter", Buffer.from(prose(1, 3000)).toString("hex").slice(0, 100)],
  ["a text that is longer than what is deflated", "a long text ".repeat(20_000)],
])("%s is stored as it is", (_, text) => {
  expect(packText(text)).toBe(text);
});
