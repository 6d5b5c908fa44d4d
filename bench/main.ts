// `npm run bench`: measures the runner and its peers on this machine.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { measure } from "./bench.ts";
import { type BenchOptions, parseOptions, USAGE, UsageError } from "./options.ts";
import { reportHtml } from "./report/html.ts";
import { ratiosOf } from "./report/ratios.ts";
import { fillReadme, hasPlace } from "./report/readme.ts";
import { readmePlot } from "./report/readme-plot.ts";
import { reportText } from "./report/text.ts";
import { type BenchResult, RESULT_FORMAT } from "./results.ts";
import { TARGETS } from "./targets.ts";
import { TRIALS } from "./trials/trials.ts";
import { judgeTarget } from "./verdicts.ts";

const judge = ({ trials }: BenchResult, earlier: BenchResult) =>
  TARGETS.map((target) => judgeTarget(target, trials, earlier.trials));

const DEFAULT_HTML = fileURLToPath(new URL("./report.html", import.meta.url));

const DEFAULT_KEPT = fileURLToPath(new URL("../node_modules/.cache/growth", import.meta.url));

function readResult(option: "--from" | "--compare", path: string): BenchResult {
  const result = JSON.parse(readFileSync(path, "utf8")) as BenchResult;
  if (result.format !== RESULT_FORMAT) {
    throw new UsageError(`${option}: ${path} holds no result of this version of the benchmark`);
  }
  return result;
}

async function resultOf(options: BenchOptions, args: readonly string[]): Promise<BenchResult> {
  if (options.from !== null) return readResult("--from", options.from);
  const { only, quick, seconds, directory, growthRuns } = options;
  const trials = TRIALS.filter(({ name, keepsFile }) =>
    only.length === 0 ? keepsFile !== true : only.includes(name),
  );
  const kept = { directory: options.growthDirectory ?? DEFAULT_KEPT, runs: growthRuns };
  const command = ["npm run bench", ...(args.length > 0 ? ["--", ...args] : [])].join(" ");
  return measure({ trials, quick, seconds, directory, kept, command }, process.stderr);
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
  // Read first, so that a wrong path is noticed before everything was measured.
  const earlier = options.compare === null ? null : readResult("--compare", options.compare);
  const readme = options.readme === null ? null : readFileSync(options.readme, "utf8");
  if (readme !== null && !hasPlace(readme)) {
    throw new UsageError(`--readme: ${options.readme} has no place for figures`);
  }
  const measured = await resultOf(options, args);
  const result = earlier === null ? measured : { ...measured, verdicts: judge(measured, earlier) };
  for (const path of [options.html, options.json, options.svg, options.ratios]) {
    if (path !== null) mkdirSync(dirname(path), { recursive: true });
  }
  console.log(reportText(result, earlier));
  writeFileSync(options.html, reportHtml(result, earlier));
  console.log(`\nReport with plots: ${relative(process.cwd(), options.html)}`);
  if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(result, null, 1)}\n`);
  if (options.svg !== null) writeFileSync(options.svg, readmePlot(result));
  if (options.readme !== null && readme !== null) {
    writeFileSync(options.readme, fillReadme(readme, result));
  }
  if (options.ratios !== null) {
    writeFileSync(options.ratios, `${JSON.stringify(ratiosOf(result), null, 1)}\n`);
  }
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
