import { only, UsageError, wholeNumber } from "../support/command-line.ts";
import type { ChaosStore, Fault } from "./faults.ts";
import { SQLITE } from "./sqlite/store.ts";
import { STORES } from "./stores.ts";

export interface Options {
  readonly store: ChaosStore;
  readonly seed: number;
  readonly rounds: number;
  /** Run only this round. */
  readonly round: number | null;
  readonly faults: readonly Fault[];
  readonly list: boolean;
  readonly keep: boolean;
  /** Whether the first round that breaks a rule is the last. */
  readonly untilViolation: boolean;
  /** The first round that breaks this rule is the last. */
  readonly until: string | null;
}

export const USAGE = `usage: npm run chaos -- [options]
  --store NAME   sqlite (default) or postgres
  --seed N       the seed of all that is random (default 1)
  --rounds N     how many rounds (default 20)
  --round N      this one round only
  --only A[,B]   these faults only
  --keep         keep the directories of rounds that failed
  --until-violation  end with the first round that failed
  --until RULE   end with the first round that broke this rule
  --list         name the faults, and do nothing`;

export function parseOptions(args: readonly string[]): Options {
  const options = {
    store: SQLITE as ChaosStore,
    seed: 1,
    rounds: 20,
    round: null as number | null,
    list: false,
    keep: false,
    untilViolation: false,
    until: null as string | null,
  };
  // Which faults there are depends on the store, which may come last.
  let names: string | null = null;
  const rest = [...args];
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === "--list") options.list = true;
    else if (name === "--keep") options.keep = true;
    else if (name === "--until-violation") options.untilViolation = true;
    else if (name === "--until") options.until = ruleIn(rest.shift());
    else if (name === "--store") options.store = storeOf(rest.shift());
    else if (name === "--seed") options.seed = wholeNumber(name, rest.shift(), 0);
    else if (name === "--rounds") options.rounds = wholeNumber(name, rest.shift(), 1);
    else if (name === "--round") options.round = wholeNumber(name, rest.shift(), 1);
    else if (name === "--only") names = rest.shift() ?? "";
    else throw new UsageError(`unknown option ${JSON.stringify(name)}`);
  }
  const { faults } = options.store;
  return {
    ...options,
    faults: names === null ? faults : only(faults, "faults", names || undefined),
  };
}

function ruleIn(name: string | undefined): string {
  if (name !== undefined) return name;
  throw new UsageError("expected --until to name a rule, got nothing");
}

function storeOf(name: string | undefined): ChaosStore {
  const store = STORES.find((known) => known.name === name);
  if (store !== undefined) return store;
  const known = STORES.map((each) => each.name).join(" or ");
  throw new UsageError(`expected --store to be ${known}, got ${name}`);
}
