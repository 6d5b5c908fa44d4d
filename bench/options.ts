import { parseArgs } from "node:util";

export interface BenchOptions {
  readonly quick: boolean;
  /** The names of the trials to run. Empty for all. */
  readonly only: readonly string[];
  readonly json: string | null;
  readonly html: string;
  readonly svg: string | null;
  /** A Markdown file whose figures are replaced. */
  readonly readme: string | null;
  /** Where the ratios to each trial's baseline go. */
  readonly ratios: string | null;
  /** The path of an earlier result, to set this one beside. */
  readonly compare: string | null;
  /** The path of a result to report on, instead of measuring. */
  readonly from: string | null;
  /** The directory for the database files. Null for the system's directory of temporary files. */
  readonly directory: string | null;
  /** The directory where the file of the trial `growth` is kept. */
  readonly growthDirectory: string | null;
  /** The runs of that file. Null for those of the trial. */
  readonly growthRuns: number | null;
  /** Seconds for each trial, instead of its own time, and one round: a check that every trial works. */
  readonly seconds: number | null;
  readonly help: boolean;
}

export const USAGE = `npm run bench -- [options]

  --quick          shorter trials, each once: about two minutes
  --only NAME      only this trial; may be given several times
  --html FILE      where the report goes (default bench/report.html)
  --json FILE      everything that was measured
  --svg FILE       one plot, throughput over threads, legible on light and dark pages
  --readme FILE    replaces the tables and the targets in a Markdown file that has a place for them
  --ratios FILE    what each peer reaches of the baseline of its trial, as JSON
  --compare FILE   set it beside an earlier result that --json wrote
  --from FILE      report on a result that --json wrote; measures nothing
  --dir DIRECTORY  where the databases are made (default: the system's directory for temporary files)
  --growth-dir DIRECTORY
                   where the file of the trial growth is kept, 20 GB (default: node_modules/.cache/growth)
  --growth-runs N  the runs of that file, instead of 10 million
  --help`;

/** Smaller than this, the file has too few threads for the trial. */
const MIN_GROWTH_RUNS = 10_000;

/** Thrown for a wrong command line. Any other error is a bug. */
export class UsageError extends Error {}

/** Reads the command line. Throws a UsageError that says what was expected and what was got. */
export function parseOptions(
  args: readonly string[],
  defaults: { readonly html: string; readonly trials: readonly string[] },
): BenchOptions {
  const values = parse(args);
  const only = values.only ?? [];
  for (const name of only) {
    if (!defaults.trials.includes(name)) {
      const expected = defaults.trials.join(", ");
      throw new UsageError(`--only: expected one of ${expected}, got ${JSON.stringify(name)}`);
    }
  }
  const seconds = values.seconds === undefined ? null : Number(values.seconds);
  if (seconds !== null && !(seconds > 0 && seconds <= 600)) {
    const got = JSON.stringify(values.seconds);
    throw new UsageError(`--seconds: expected a number above 0, at most 600, got ${got}`);
  }
  const growthRuns = values["growth-runs"] === undefined ? null : Number(values["growth-runs"]);
  const isSize =
    growthRuns === null || (Number.isInteger(growthRuns) && growthRuns >= MIN_GROWTH_RUNS);
  if (!isSize) {
    const got = JSON.stringify(values["growth-runs"]);
    throw new UsageError(
      `--growth-runs: expected a whole number from ${MIN_GROWTH_RUNS} on, got ${got}`,
    );
  }
  for (const name of [
    "json",
    "html",
    "svg",
    "readme",
    "ratios",
    "compare",
    "from",
    "dir",
    "growth-dir",
  ] as const) {
    if (values[name] === "") throw new UsageError(`--${name}: expected a path, got ""`);
  }
  return {
    quick: values.quick ?? false,
    only,
    json: values.json ?? null,
    html: values.html ?? defaults.html,
    svg: values.svg ?? null,
    readme: values.readme ?? null,
    ratios: values.ratios ?? null,
    compare: values.compare ?? null,
    from: values.from ?? null,
    directory: values.dir ?? null,
    growthDirectory: values["growth-dir"] ?? null,
    growthRuns,
    seconds,
    help: values.help ?? false,
  };
}

function parse(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: "boolean" },
        only: { type: "string", multiple: true },
        json: { type: "string" },
        html: { type: "string" },
        svg: { type: "string" },
        readme: { type: "string" },
        ratios: { type: "string" },
        compare: { type: "string" },
        from: { type: "string" },
        dir: { type: "string" },
        "growth-dir": { type: "string" },
        "growth-runs": { type: "string" },
        seconds: { type: "string" },
        help: { type: "boolean" },
      },
    });
    return values;
  } catch (error) {
    // Its messages name the option and what is wrong with it.
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
