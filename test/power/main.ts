// `npm run power`: records the disk writes of processes, and checks the files that power cuts may leave.
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../support/command-line.ts";
import { Checkers } from "./checkers.ts";
import { FAULTS } from "./faults.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { buildLibrary, CannotRecord } from "./record/library.ts";
import { Report } from "./report.ts";
import { runRound } from "./round.ts";

/** A recording takes some seconds, and an image a tenth of one. */
const MAX_IMAGES_PER_ROUND = 40;
/** A recording mostly waits. Meanwhile, the images of the recording before it are checked. */
const ROUNDS_AT_ONCE = 2;

async function main(options: Options): Promise<number> {
  if (options.list) {
    for (const { name, what } of FAULTS) console.log(`${name.padEnd(22)}${what}`);
    return 0;
  }
  const tools = mkdtempSync(join(tmpdir(), "durable-agent-runner-power-tools-"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => process.exit(1));
  }
  process.once("exit", () => rmSync(tools, { recursive: true, force: true }));
  // Many processes start, which would all strip and compile the same files.
  process.env.NODE_COMPILE_CACHE = join(tools, "cache");
  const library = buildLibrary(tools);
  const checkers = new Checkers(library, Math.min(4, availableParallelism()));
  process.once("exit", () => checkers.end());
  try {
    return await runRounds(options, library, checkers);
  } finally {
    checkers.end();
  }
}

async function runRounds(options: Options, library: string, checkers: Checkers): Promise<number> {
  const { seed, keep, durability } = options;
  const report = new Report(options);
  const faults = options.faults.filter(({ name, missing }) => {
    const why = missing?.() ?? null;
    if (why !== null) report.skip(name, why);
    return why === null;
  });
  const perRound = Math.min(MAX_IMAGES_PER_ROUND, Math.ceil(options.images / faults.length));
  let left = options.images;
  let rounds = 0;
  const lane = async () => {
    while (left > 0) {
      const number = ++rounds;
      const fault = faults[(number - 1) % faults.length];
      if (fault === undefined) throw new Error("there are no faults");
      const images = Math.min(perRound, left);
      left -= images;
      const told = report.begin(number, fault.name);
      const onImage = told.image;
      const round = { seed, number, images, durability, keep, library, checkers, onImage };
      await runRound(fault, round);
      told.end();
    }
  };
  await Promise.all(Array.from({ length: ROUNDS_AT_ONCE }, lane));
  report.summarize();
  return report.violations > 0 ? 1 : 0;
}

try {
  process.exitCode = await main(parseOptions(process.argv.slice(2)));
} catch (error) {
  if (error instanceof CannotRecord) {
    console.error(`power: it cannot run here: ${error.message}`);
    process.exitCode = 3;
  } else if (error instanceof UsageError) {
    console.error(`power: ${error.message}\n${USAGE}`);
    process.exitCode = 2;
  } else throw error;
}
