import { expect, test } from "vitest";
import { lastWordsIn } from "./last-words.ts";

const FATAL = "FATAL ERROR: Error::New napi_get_last_error_info\n----- Native stack trace -----";

/** What vitest prints on stderr, in its colours. */
function stderr(said: string, error: string): string {
  return `${said}\n\n\x1b[31m⎯⎯⎯⎯⎯⎯\x1b[39m\x1b[1m\x1b[41m Unhandled Errors \x1b[49m\n${error}\n`;
}

const ENDED = "Error: Worker exited unexpectedly with signal SIGABRT during started state";

test("repeats what was said before a signal ended a test process", () => {
  expect(lastWordsIn(stderr(FATAL, ENDED))).toContain(FATAL);
  expect(lastWordsIn(stderr(FATAL, ENDED))).not.toContain("Unhandled Errors");
});

test("repeats the end of it", () => {
  const warnings = Array.from({ length: 1000 }, (_, at) => `warning ${at}.\n`).join("");
  const words = lastWordsIn(stderr(warnings + FATAL, ENDED));
  expect(words).toContain(FATAL);
  expect(words).not.toContain("warning 0.");
});

test("repeats all of it where vitest has reported nothing", () => {
  expect(lastWordsIn(`a warning\n${FATAL}\n`)).toBe(`a warning\n${FATAL}`);
});
