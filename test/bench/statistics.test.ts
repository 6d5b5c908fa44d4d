import { describe, expect, test } from "vitest";
import { compareRounds, median, percentile, spread } from "../../bench/statistics.ts";

describe("the benchmark's statistics", () => {
  test("the median is the middle value, or the mean of the two middle values", () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([10, 1, 2, 100])).toBe(6);
    expect(median([7])).toBe(7);
  });

  test("numbers are sorted as numbers", () => {
    expect(median([100, 9, 20])).toBe(20);
  });

  test("an empty list has no median and no percentile", () => {
    expect(() => median([])).toThrow(RangeError);
    expect(() => percentile([], 0.5)).toThrow(RangeError);
  });

  test("a percentile is one of the measured values", () => {
    const values = Array.from({ length: 100 }, (_, at) => at + 1);
    expect(percentile(values, 0.5)).toBe(50);
    expect(percentile(values, 0.99)).toBe(99);
    expect(percentile(values, 1)).toBe(100);
    expect(percentile([3, 8], 0.99)).toBe(8);
  });

  test("a spread goes from the lowest to the highest", () => {
    expect(spread([4, 2, 9])).toEqual({ median: 4, min: 2, max: 9 });
  });

  test("ratios are computed within each round, and their median is not the ratio of medians", () => {
    const ours = new Map([
      [0, 10],
      [1, 30],
      [2, 100],
    ]);
    const theirs = new Map([
      [0, 10],
      [1, 10],
      [2, 200],
    ]);
    expect(compareRounds(ours, theirs, "ratio")).toEqual({ median: 1, min: 0.5, max: 3 });
    expect(compareRounds(ours, theirs, "difference")).toEqual({ median: 0, min: -100, max: 20 });
  });

  test("a round that only one of the two has is left out", () => {
    const ours = new Map([
      [0, 10],
      [1, 50],
    ]);
    expect(compareRounds(ours, new Map([[1, 10]]), "ratio")).toEqual({ median: 5, min: 5, max: 5 });
    expect(compareRounds(ours, new Map(), "ratio")).toBeNull();
  });
});
