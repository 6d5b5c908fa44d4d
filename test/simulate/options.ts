import { availableParallelism } from "node:os";
import { only, UsageError, wholeNumber } from "../support/command-line.ts";
import { FAULTS, type Fault } from "./faults.ts";

export interface Options {
  readonly seed: number;
  readonly schedules: number;
  /** The number of the first schedule. */
  readonly first: number;
  /** This one schedule only. */
  readonly schedule: number | null;
  /** So many threads execute schedules. */
  readonly jobs: number;
  /** It ends when so many have failed. */
  readonly failures: number;
  readonly faults: readonly Fault[];
  readonly list: boolean;
}

export const USAGE = `usage: npm run simulate -- [options]
  --seed N          the seed of all that is random (default 1)
  --schedules N     how many schedules (default 10000)
  --first N         the number of the first schedule (default 1): a long run may be continued
  --jobs N          on so many threads (default: one for each processor)
  --schedule N      this one schedule only, with its timeline
  --only A[,B]      these faults only
  --failures N      end when so many schedules have failed (default 3)
  --list            name the faults, and do nothing`;

export function parseOptions(args: readonly string[]): Options {
  const options = {
    seed: 1,
    schedules: 10_000,
    first: 1,
    jobs: availableParallelism(),
    schedule: null as number | null,
    failures: 3,
    faults: FAULTS,
    list: false,
  };
  const rest = [...args];
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === "--list") options.list = true;
    else if (name === "--seed") options.seed = wholeNumber(name, rest.shift(), 0);
    else if (name === "--schedules") options.schedules = wholeNumber(name, rest.shift(), 1);
    else if (name === "--first") options.first = wholeNumber(name, rest.shift(), 1);
    else if (name === "--jobs") options.jobs = wholeNumber(name, rest.shift(), 1);
    else if (name === "--schedule") options.schedule = wholeNumber(name, rest.shift(), 1);
    else if (name === "--failures") options.failures = wholeNumber(name, rest.shift(), 1);
    else if (name === "--only") options.faults = only(FAULTS, "faults", rest.shift());
    else throw new UsageError(`unknown option ${JSON.stringify(name)}`);
  }
  return options;
}
