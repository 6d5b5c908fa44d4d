import { expect, test } from "vitest";
import { Progress } from "./progress.ts";

test("where there is no terminal, a long run says every ten seconds how far it has come", () => {
  const lines: string[] = [];
  let now = 5000;
  const progress = new Progress(100_000, { print: (line) => lines.push(line), now: () => now });
  for (let second = 1; second <= 25; second++) {
    now += 1000;
    progress.show({ schedules: second * 2000, failed: second > 15 ? [17] : [] });
  }
  expect(lines).toEqual([
    "  20000 of 100000 schedules, 0 failed, 2000 a second",
    "  40000 of 100000 schedules, 1 failed (17), 2000 a second",
  ]);
});
