import { only, UsageError, wholeNumber } from "../support/command-line.ts";
import { FAULTS, type Fault } from "./faults.ts";

export interface Options {
  readonly seed: number;
  readonly rounds: number;
  /** Run only this round. */
  readonly round: number | null;
  readonly faults: readonly Fault[];
  readonly list: boolean;
  readonly keep: boolean;
}

export const USAGE = `usage: npm run chaos -- [options]
  --seed N       the seed of all that is random (default 1)
  --rounds N     how many rounds (default 20)
  --round N      this one round only
  --only A[,B]   these faults only
  --keep         keep the directories of rounds that failed
  --list         name the faults, and do nothing`;

export function parseOptions(args: readonly string[]): Options {
  const options = {
    seed: 1,
    rounds: 20,
    round: null as number | null,
    faults: FAULTS,
    list: false,
    keep: false,
  };
  const rest = [...args];
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === "--list") options.list = true;
    else if (name === "--keep") options.keep = true;
    else if (name === "--seed") options.seed = wholeNumber(name, rest.shift(), 0);
    else if (name === "--rounds") options.rounds = wholeNumber(name, rest.shift(), 1);
    else if (name === "--round") options.round = wholeNumber(name, rest.shift(), 1);
    else if (name === "--only") options.faults = only(FAULTS, "faults", rest.shift());
    else throw new UsageError(`unknown option ${JSON.stringify(name)}`);
  }
  return options;
}
