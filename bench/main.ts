// `npm run bench`: measures the runner and its peers on this machine.
import { readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { measure } from "./bench.ts";
import { type BenchOptions, parseOptions, USAGE, UsageError } from "./options.ts";
import { reportHtml } from "./report/html.ts";
import { reportMarkdown } from "./report/markdown.ts";
import { readmePlot } from "./report/readme-plot.ts";
import { reportText } from "./report/text.ts";
import type { BenchResult } from "./results.ts";
import { TRIALS } from "./trials/trials.ts";

const DEFAULT_HTML = fileURLToPath(new URL("./report.html", import.meta.url));

async function resultOf(options: BenchOptions, args: readonly string[]): Promise<BenchResult> {
  if (options.from !== null) {
    const result = JSON.parse(readFileSync(options.from, "utf8")) as BenchResult;
    if (result.format !== 1) throw new UsageError(`--from: ${options.from} holds no result`);
    return result;
  }
  const { only, quick, seconds, directory } = options;
  const trials = TRIALS.filter(({ name }) => only.length === 0 || only.includes(name));
  const command = ["npm run bench", ...(args.length > 0 ? ["--", ...args] : [])].join(" ");
  return measure({ trials, quick, seconds, directory, command }, process.stderr);
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, {
    html: DEFAULT_HTML,
    trials: TRIALS.map(({ name }) => name),
  });
  if (options.help) {
    console.log(`${USAGE}\n\nTrials: ${TRIALS.map(({ name }) => name).join(", ")}`);
    return 0;
  }
  const result = await resultOf(options, args);
  console.log(reportText(result));
  writeFileSync(options.html, reportHtml(result));
  console.log(`\nReport with plots: ${relative(process.cwd(), options.html)}`);
  if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(result, null, 1)}\n`);
  if (options.svg !== null) writeFileSync(options.svg, readmePlot(result));
  if (options.markdown !== null) writeFileSync(options.markdown, reportMarkdown(result));
  // Only a trial that failed gives a non-zero exit code. A missed target is a result.
  return result.failures.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`${error.message}\n\n${USAGE}`);
  process.exitCode = 2;
}
