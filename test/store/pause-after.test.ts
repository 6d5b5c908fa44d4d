import { expect, test } from "vitest";
import { pauseAfter } from "../../src/runs/pause-after.ts";

test("a pause is a multiple of the work before it", () => {
  expect(pauseAfter(3, 4)).toBe(12);
});

test("a pause after work in which the machine slept is as short as after a second", () => {
  expect(pauseAfter(8 * 3_600_000, 4)).toBe(1000);
});
