import { relative } from "node:path";

/** The message of V8 when it ends a process in which many worker threads end and begin. */
export const V8_CHECK = "Check failed: jit_page.has_value()";

const ENDED = /exited unexpectedly with signal SIGTRAP .*running test file (\S+)/g;
const FAILED = /(?:Tests|Test Files)\s+\d+ failed/;
const ERRORS_OUTSIDE_TESTS = /Errors\s+(\d+) error/;

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one.
const COLOURS = /\x1b\[[\d;]*m/g;

/**
 * The test files whose process ended by a V8 crash, from the output of vitest. None if there was
 * another failure too.
 */
export function filesEndedByV8(said: string): readonly string[] {
  const plain = said.replace(COLOURS, "");
  const files = [
    ...new Set([...plain.matchAll(ENDED)].map(([, file = ""]) => relative(".", file))),
  ];
  const errors = Number(ERRORS_OUTSIDE_TESTS.exec(plain)?.[1] ?? 0);
  const isOnlyV8 = plain.includes(V8_CHECK) && errors <= files.length && !FAILED.test(plain);
  return isOnlyV8 ? files : [];
}
