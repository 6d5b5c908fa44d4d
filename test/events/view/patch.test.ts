import fc from "fast-check";
import jsonPatch, { type Operation } from "fast-json-patch";
import { expect, test } from "vitest";
import { applyPatch } from "../../../src/events/view/patch.ts";
import { frozen } from "./frozen.ts";
import { seed } from "./seed.ts";

const key = fc.constantFrom("a", "b", "x/y", "__proto__", "constructor", "");
const leaf = fc.constantFrom<unknown>(null, 0, 1, "", "s", false);
const { document } = fc.letrec((tie) => ({
  document: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    leaf,
    fc.array(tie("document"), { maxLength: 3 }),
    fc.dictionary(key, tie("document"), { maxKeys: 3 }),
  ),
}));
// Often there is something where a path leads.
const filled = fc.record({
  a: fc.record({ a: document, b: document }),
  b: fc.array(fc.record({ a: document }), { minLength: 1, maxLength: 2 }),
});
const part = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom("a", "b", "0") },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ..."x~1y 1 - 01 4294967296 __proto__ constructor prototype".split(" "),
      "",
    ),
  },
);
const path = fc
  .array(part, { maxLength: 3, size: "max" })
  .map((parts) => parts.map((name) => `/${name}`).join(""));
const operation = fc
  .record({
    op: fc.constantFrom("add", "replace", "remove", "move", "move", "copy", "test", "none"),
    path,
    from: path,
    value: document,
  })
  // The library makes a document that contains itself of these.
  .filter(({ op, path, from }) => op !== "move" || from !== "" || path === "");

test("a patch gives what the library gives on a copy, and changes nothing that it was given", () => {
  let applied = 0;
  fc.assert(
    fc.property(
      fc.oneof(filled, document),
      fc.array(operation, { maxLength: 3 }),
      (before, patch) => {
        let expected: { document: unknown } | undefined;
        try {
          const copy = structuredClone(patch) as Operation[];
          const { newDocument } = jsonPatch.applyPatch(structuredClone(before), copy, true, false);
          expected = { document: newDocument };
          applied++;
        } catch {
          expected = undefined;
        }
        expect(applyPatch(frozen(before), frozen(patch))).toEqual(expected);
        expect({}).not.toHaveProperty("polluted");
      },
    ),
    { seed, numRuns: 20_000 },
  );
  expect(applied).toBeGreaterThan(1000);
});

test("the root does not move into itself", () => {
  expect(applyPatch({ a: 1 }, [{ op: "move", from: "", path: "/b" }])).toBeUndefined();
});

test("what a patch does not touch is shared", () => {
  const before = { list: [{ n: 1 }, { n: 2 }], other: {} };
  const after = applyPatch(before, [{ op: "replace", path: "/list/0/n", value: 3 }])?.document;
  expect(after).toEqual({ list: [{ n: 3 }, { n: 2 }], other: {} });
  expect((after as typeof before).other).toBe(before.other);
  expect((after as typeof before).list[1]).toBe(before.list[1]);
});
