import { existsSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";

test("dies when it is run for the first time", () => {
  const { DIED_ONCE: path = "" } = process.env;
  if (!existsSync(path)) {
    writeFileSync(path, "");
    process.kill(process.pid, "SIGABRT");
  }
  expect(existsSync(path)).toBe(true);
});
