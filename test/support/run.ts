// `npm test`: runs vitest, and runs the files again whose process ended by a V8 crash.
//
// V8 13.6 ends a process now and then in which many worker threads end and begin, with "Check failed:
// jit_page.has_value()" (https://github.com/nodejs/node/issues/64500). No test of the file is reported
// then. Such files are run again, and that is printed. Every other failure counts.
//
// The last output of a process that a signal ended is repeated at the end of the log.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { lastWordsIn } from "./last-words.ts";
import { filesEndedByV8, V8_CHECK } from "./v8-crash.ts";

const RERUNS = 3;

async function vitest(args: readonly string[]): Promise<{ code: number; said: string }> {
  const child = spawn("vitest", ["run", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  let stderr = "";
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
      if (stream === "stderr") stderr += chunk;
      process[stream].write(chunk);
    });
  }
  const [code] = (await once(child, "close")) as [number | null];
  const lastWords = lastWordsIn(stderr);
  if (lastWords !== "")
    console.log(`\nOn stderr, before a signal ended a process:\n\n${lastWords}\n`);
  return { code: code ?? 1, said };
}

let { code, said } = await vitest(process.argv.slice(2));
for (let rerun = 0; rerun < RERUNS && code !== 0; rerun++) {
  const files = filesEndedByV8(said);
  if (files.length === 0) break;
  console.log(`\nV8 ended the process of ${files.join(", ")} (${V8_CHECK}): once more.`);
  ({ code, said } = await vitest(files));
}
process.exitCode = code;
