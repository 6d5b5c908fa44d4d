import { describe, expect, test } from "vitest";
import { linearAxis, logAxis, stepsAxis } from "../../bench/report/axis.ts";

describe("the axes of a plot", () => {
  test("a linear axis begins at 0 and ends at a round number above all values", () => {
    const axis = linearAxis([3, 14_232]);
    expect(axis.ticks.map(({ value }) => value)).toEqual([0, 5000, 10_000, 15_000]);
    expect(axis.place(0)).toBe(0);
    expect(axis.place(15_000)).toBe(1);
  });

  test("a logarithmic axis gives each decade the same space", () => {
    const axis = logAxis([0.3, 784]);
    expect(axis.ticks.map(({ label }) => label)).toEqual(["0.1", "1", "10", "100", "1\u202f000"]);
    expect(axis.place(1) - axis.place(0.1)).toBeCloseTo(axis.place(1000) - axis.place(100));
  });

  test("a logarithmic axis with few decades has ticks between them", () => {
    expect(logAxis([3, 40]).ticks.map(({ value }) => value)).toEqual([2, 5, 10, 20, 50]);
  });

  test("a value of 0 is at the bottom of a logarithmic axis", () => {
    expect(logAxis([0, 5, 80]).place(0)).toBe(0);
  });

  test("a logarithmic axis can mark the measured values", () => {
    const axis = logAxis([1, 50, 200, 1000], [1, 50, 200, 1000]);
    expect(axis.ticks.map(({ value }) => value)).toEqual([1, 50, 200, 1000]);
    for (const { value } of axis.ticks) {
      expect(axis.place(value)).toBeGreaterThan(0);
      expect(axis.place(value)).toBeLessThan(1);
    }
  });

  test("an axis of steps gives each step the same space", () => {
    const axis = stepsAxis([0, 100, 10_000]);
    expect([0, 100, 10_000].map((value) => axis.place(value) * 6)).toEqual([1, 3, 5]);
  });

  test.each([
    ["one value", [7]],
    ["zeros", [0, 0]],
    ["nothing", []],
  ])("%s has a position on each axis", (_, values) => {
    for (const axis of [linearAxis(values), logAxis(values)]) {
      for (const value of values) {
        expect(axis.place(value)).toBeGreaterThanOrEqual(0);
        expect(axis.place(value)).toBeLessThanOrEqual(1);
      }
      expect(axis.ticks.every(({ value }) => Number.isFinite(value))).toBe(true);
    }
  });
});
