import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";

test("fails first", () => {
  expect("one").toBe("two");
});

test("dies then", { timeout: 60_000 }, async () => {
  // Vitest is told of a failed test some time after it, and a busy machine takes longer.
  await delay(5000);
  process.kill(process.pid, "SIGSEGV");
  expect(1).toBe(1);
});
