import { resolve } from "node:path";
import { expect, test } from "vitest";
import { filesEndedByV8, V8_CHECK } from "./v8-crash.ts";

/** The coloured output of vitest for a file whose process has ended. */
function said(summary: string, { errors = 1, check = V8_CHECK, signal = "SIGTRAP" } = {}): string {
  const file = resolve("test/faults/hostile-events.test.ts");
  return [
    `# ${check}.`,
    `\x1b[31m\x1b[1mCaused by: Error\x1b[22m: Worker exited unexpectedly with signal ${signal} during started state while running test file ${file}\x1b[39m`,
    summary,
    `\x1b[2m     Errors \x1b[22m \x1b[1m\x1b[31m${errors} error${errors > 1 ? "s" : ""}\x1b[39m\x1b[22m`,
  ].join("\n");
}

const PASSED = "\x1b[2m Test Files \x1b[22m \x1b[1m\x1b[32m109 passed\x1b[39m\x1b[22m";
const ONE_FAILED = "\x1b[2m      Tests \x1b[22m \x1b[1m\x1b[31m1 failed\x1b[39m\x1b[22m";

test("names the test file whose process ended by a V8 crash", () => {
  expect(filesEndedByV8(said(PASSED))).toEqual(["test/faults/hostile-events.test.ts"]);
});

test.each([
  ["a test failed too", said(`${PASSED}\n${ONE_FAILED}`)],
  ["a file failed too", said(ONE_FAILED.replace("     Tests", "Test Files"))],
  ["there was another error", said(PASSED, { errors: 2 })],
  ["V8 did not say why", said(PASSED, { check: "Check failed: other" })],
  ["another signal ended it", said(PASSED, { signal: "SIGSEGV" })],
  ["nothing failed", PASSED],
])("names no file when %s", (_case, text) => {
  expect(filesEndedByV8(text)).toEqual([]);
});
