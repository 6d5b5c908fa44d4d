// `npm run chaos`: runs real processes under load with faults, and checks what they leave.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../support/command-line.ts";
import { Random } from "../support/random.ts";
import type { Violation } from "./evidence.ts";
import type { Fault } from "./faults.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { Report } from "./report.ts";
import { runRound } from "./run-round.ts";

/** Every fault once in a seeded order, then every fault in another order, and so on. */
function faultOfRound({ seed, faults }: Options, round: number): Fault {
  const turn = Math.floor((round - 1) / faults.length);
  const fault = new Random(seed, "order", turn).shuffle(faults)[(round - 1) % faults.length];
  if (fault === undefined) throw new Error("there are no faults");
  return fault;
}

async function main(options: Options): Promise<number> {
  if (options.list) {
    for (const { name, what } of options.faults) console.log(`${name.padEnd(22)}${what}`);
    return 0;
  }
  // Each round starts several processes, which would all strip and compile the same files.
  const cache = mkdtempSync(join(tmpdir(), "durable-agent-runner-chaos-cache-"));
  process.env.NODE_COMPILE_CACHE = cache;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => process.exit(1));
  }
  process.once("exit", () => rmSync(cache, { recursive: true, force: true }));
  return runRounds(options);
}

async function runRounds(options: Options): Promise<number> {
  const { store, seed, rounds, round: only, keep } = options;
  const report = new Report(store.name, seed, only === null ? rounds : 1);
  const first = only ?? 1;
  const last = only ?? rounds;
  for (let round = first; round <= last; round++) {
    const fault = faultOfRound(options, round);
    report.begin(round, fault.name);
    const result = await runRound(store, fault, { seed, round, keep });
    report.end(round, fault.name, result);
    if (isLast(result.violations, options)) break;
  }
  report.summarize();
  return report.violations > 0 ? 1 : 0;
}

function isLast(violations: readonly Violation[], { untilViolation, until }: Options): boolean {
  return violations.some(({ rule }) => untilViolation || rule === until);
}

try {
  process.exitCode = await main(parseOptions(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`chaos: ${error.message}\n${USAGE}`);
  process.exitCode = 2;
}
