import { describe, expect, test } from "vitest";
import { parseOptions, UsageError } from "../../bench/options.ts";

const parse = (...args: string[]) =>
  parseOptions(args, { html: "default.html", trials: ["throughput", "connect"] });

describe("the benchmark's options", () => {
  test("without options, everything is measured and the report goes to its default path", () => {
    expect(parse()).toMatchObject({ quick: false, only: [], html: "default.html", json: null });
  });

  test("each option is read", () => {
    expect(
      parse("--quick", "--only", "connect", "--only", "throughput", "--json", "a", "--html", "b"),
    ).toMatchObject({ quick: true, only: ["connect", "throughput"], json: "a", html: "b" });
    expect(parse("--seconds", "0.3").seconds).toBe(0.3);
    expect(parse("--growth-runs", "20000", "--growth-dir", "g")).toMatchObject({
      ...{ growthRuns: 20_000, growthDirectory: "g" },
    });
    expect(parse("--compare", "c", "--ratios", "r")).toMatchObject({ compare: "c", ratios: "r" });
  });

  test.each([
    [["--only", "speed"], '--only: expected one of throughput, connect, got "speed"'],
    [["--seconds", "soon"], '--seconds: expected a number above 0, at most 600, got "soon"'],
    [["--seconds", "0"], '--seconds: expected a number above 0, at most 600, got "0"'],
    [["--growth-runs", "20"], '--growth-runs: expected a whole number from 10000 on, got "20"'],
    [["--json="], '--json: expected a path, got ""'],
  ])("%j is refused, with what was expected and what was got", (args, message) => {
    expect(() => parse(...args)).toThrow(new UsageError(message));
  });

  test.each([[["--fast"]], [["--json"]], [["everything"]]])("%j is refused", (args) => {
    expect(() => parse(...args)).toThrow(UsageError);
  });
});
