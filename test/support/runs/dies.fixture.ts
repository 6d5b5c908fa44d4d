import { writeSync } from "node:fs";
import { expect, test } from "vitest";

test("dies", () => {
  // Native code writes to stderr like this, past the console that vitest watches.
  writeSync(2, "these are my last words\n");
  process.kill(process.pid, "SIGSEGV");
  expect(1).toBe(1);
});
