import { describe, expect, test } from "vitest";
import type { Target } from "../../bench/targets.ts";
import { TARGETS } from "../../bench/targets.ts";
import { TRIALS } from "../../bench/trials/trials.ts";
import { judgeTarget } from "../../bench/verdicts.ts";
import { SMALL_RESULT } from "./small-result.ts";

const condition = {
  trial: "throughput",
  x: 200,
  peer: "durable",
  figure: "runsPerSecond",
  is: ">=",
} as const;
const against = { peer: "synchronous" } as const;

const judge = (...conditions: Target["conditions"]) =>
  judgeTarget({ text: "target", conditions }, SMALL_RESULT.trials);

describe("a target", () => {
  test("is met when the median of its ratios is on the right side of the bound", () => {
    expect(judge({ ...condition, bound: 65, against })).toMatchObject({
      outcome: "met",
      details: [expect.stringMatching(/: 65 \(40 to 90\)x, wanted at least 65x: met$/)],
    });
    expect(judge({ ...condition, bound: 66, against }).outcome).toBe("missed");
    expect(judge({ ...condition, is: "<=", bound: 66, against }).outcome).toBe("met");
  });

  test("may be about a figure, a difference, or another point of the axis", () => {
    expect(judge({ ...condition, figure: "loopDelayP99Ms", is: "<=", bound: 6 }).outcome).toBe(
      "met",
    );
    const difference = {
      ...condition,
      figure: "loopDelayP99Ms",
      against,
      how: "difference",
    } as const;
    expect(judge({ ...difference, is: "<=", bound: -695 }).outcome).toBe("met");
    expect(judge({ ...difference, is: "<=", bound: -696 }).outcome).toBe("missed");
    expect(judge({ ...condition, bound: 12.5, against: { x: 1 } }).outcome).toBe("met");
  });

  test("may be about an earlier result, and is not measured without one", () => {
    const target: Target = {
      text: "target",
      conditions: [{ ...condition, is: "<=", bound: 0.5, against: "earlier" }],
    };
    expect(judgeTarget(target, SMALL_RESULT.trials).outcome).toBe("not measured");
    const twice = SMALL_RESULT.trials.map((trial) => ({
      ...trial,
      samples: trial.samples.map((sample) => ({
        ...sample,
        figures: { runsPerSecond: 2 * (sample.figures.runsPerSecond ?? 0) },
      })),
    }));
    expect(judgeTarget(target, SMALL_RESULT.trials, twice)).toMatchObject({
      outcome: "met",
      details: [expect.stringMatching(/an earlier result: 0.5 \(0.47 to 0.53\)x, wanted/)],
    });
    expect(judgeTarget(target, twice, SMALL_RESULT.trials).outcome).toBe("missed");
  });

  test("is missed when a condition is missed, and otherwise not measured when a condition is not measured", () => {
    const met = { ...condition, bound: 1 };
    const missed = { ...condition, bound: 1e9 };
    const unknown = { ...condition, trial: "follow", x: 50, figure: "lagP50Ms", bound: 1 } as const;
    expect(judge(met, missed, unknown).outcome).toBe("missed");
    expect(judge(met, unknown).outcome).toBe("not measured");
  });

  test("names only figures that a trial measures", () => {
    for (const { conditions } of TARGETS) {
      for (const { trial: name, x, peer, against } of conditions) {
        const trial = TRIALS.find((candidate) => candidate.name === name);
        expect(trial?.points).toContain(x);
        expect(trial?.peers).toContain(peer);
        if (against === "earlier") continue;
        expect(trial?.points).toContain(against?.x ?? x);
        expect(trial?.peers).toContain(against?.peer ?? peer);
      }
    }
  });
});
