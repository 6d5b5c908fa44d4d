import { describe, expect, test } from "vitest";
import { overlapOf } from "../../src/cli/run-alignment.ts";

describe("a replay begins with runs that were printed already", () => {
  test.each([
    { printed: [], first: "a", expected: 0, overlap: 0 },
    { printed: ["a", "b"], first: "b", expected: 1, overlap: 1 },
    { printed: ["a", "b"], first: "a", expected: 2, overlap: 2 },
    // More runs were stored meanwhile: the replay begins later.
    { printed: ["a", "b", "c"], first: "c", expected: 3, overlap: 1 },
    { printed: ["a", "b"], first: "x", expected: 2, overlap: 0 },
    // An id that came again.
    { printed: ["a", "b", "a", "a"], first: "a", expected: 2, overlap: 2 },
    { printed: ["a", "b", "a", "b"], first: "a", expected: 4, overlap: 4 },
  ])("$printed, then a replay from $first: $overlap", ({ printed, first, expected, overlap }) => {
    expect(overlapOf(printed, first, expected)).toBe(overlap);
  });
});
