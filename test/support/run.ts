// `npm test`: runs vitest, and runs a test file again, alone, whose process a signal has ended.
//
// No test of such a file is reported, so nothing says that what it tests is wrong: V8 itself may have crashed,
// see CONTRIBUTING.md. The log says that the file is run again, and what the process said last. A file whose
// process dies again has failed, and so has a file of which a test failed before.
//
// The log ends with a list of what failed.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseCLI } from "vitest/node";
import { failureList, filesToRunAgain, isExcused, type RunAgain } from "./failure-list.ts";
import { lastWordsIn } from "./last-words.ts";
import type { RunOutcome } from "./run-outcome.ts";

const REPORTER = fileURLToPath(new URL("./outcome-reporter.ts", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "test-outcome-"));

interface Run {
  readonly code: number;
  /** Null if vitest ended without one. */
  readonly outcome: RunOutcome | null;
}

async function vitest(args: readonly string[]): Promise<Run> {
  const path = join(directory, "outcome.json");
  rmSync(path, { force: true });
  const reporters = ["--reporter=default", `--reporter=${REPORTER}`];
  const child = spawn("vitest", ["run", ...args, ...reporters], {
    env: { ...process.env, TEST_OUTCOME: path },
    stdio: ["ignore", "inherit", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk;
    process.stderr.write(chunk);
  });
  const [code] = (await once(child, "close")) as [number | null];
  const outcome = outcomeIn(path);
  if (code !== 0 && (outcome === null || outcome.died.length > 0)) {
    console.log(`\nThe end of stderr before a process died:\n\n${lastWordsIn(stderr)}\n`);
  }
  return { code: code ?? 1, outcome };
}

function outcomeIn(path: string): RunOutcome | null {
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as RunOutcome) : null;
}

async function runAgain(outcome: RunOutcome, options: readonly string[]): Promise<RunAgain[]> {
  const again: RunAgain[] = [];
  for (const { file, signal } of filesToRunAgain(outcome)) {
    console.log(`\n${signal} ended the process of ${file}: it is run again, alone.\n`);
    const run = await vitest([...options, file]);
    again.push({ file, signal, passed: run.code === 0, outcome: run.outcome });
  }
  return again;
}

const args = process.argv.slice(2);
const { filter } = parseCLI(["vitest", "run", ...args]);
const { code, outcome } = await vitest(args);
process.exitCode = code;
if (code !== 0 && outcome === null) {
  console.log("== vitest ended without an outcome");
} else if (code !== 0 && outcome !== null) {
  const again = await runAgain(
    outcome,
    args.filter((arg) => !filter.includes(arg)),
  );
  for (const line of failureList(outcome, again)) console.log(line);
  if (isExcused(outcome, again)) process.exitCode = 0;
}
rmSync(directory, { recursive: true });
