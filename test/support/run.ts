// `npm test`: vitest, and once more for the files whose process V8 has ended.
//
// V8 13.6 ends a process now and then in which many worker threads end and begin, with "Check failed:
// jit_page.has_value()" (https://github.com/nodejs/node/issues/64500). No test of the file is reported
// then. Such files are run again, and said to be; any other failure is one.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { relative } from "node:path";

const RERUNS = 3;
const V8_CHECK = "Check failed: jit_page.has_value()";
const ENDED = /exited unexpectedly with signal SIGTRAP .*running test file (\S+)/g;
/** What vitest says last: of tests that failed, if any, and of those that passed. */
const FAILED_TESTS = /Tests\s+\d+ failed/;
const FAILED_FILES = /Test Files\s+\d+ failed/;
const ERRORS_OUTSIDE_TESTS = /Errors\s+(\d+) error/;

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one.
const COLOURS = /\x1b\[[\d;]*m/g;

async function vitest(args: readonly string[]): Promise<{ code: number; said: string }> {
  const child = spawn("vitest", ["run", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
      process[stream].write(chunk);
    });
  }
  const [code] = (await once(child, "close")) as [number | null];
  return { code: code ?? 1, said: said.replace(COLOURS, "") };
}

let { code, said } = await vitest(process.argv.slice(2));
for (let rerun = 0; rerun < RERUNS && code !== 0; rerun++) {
  const files = [...new Set([...said.matchAll(ENDED)].map(([, file = ""]) => relative(".", file)))];
  const isV8s = files.length > 0 && said.includes(V8_CHECK);
  const errors = Number(ERRORS_OUTSIDE_TESTS.exec(said)?.[1] ?? 0);
  if (!isV8s || errors > files.length || FAILED_TESTS.test(said) || FAILED_FILES.test(said)) break;
  console.log(`\nV8 ended the process of ${files.join(", ")} (${V8_CHECK}): once more.`);
  ({ code, said } = await vitest(files));
}
process.exitCode = code;
