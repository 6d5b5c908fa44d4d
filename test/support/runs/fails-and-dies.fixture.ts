import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";

test("fails first", () => {
  expect("one").toBe("two");
});

test("dies then", async () => {
  // Vitest is told of a failed test some time after it.
  await delay(1000);
  process.kill(process.pid, "SIGSEGV");
  expect(1).toBe(1);
});
