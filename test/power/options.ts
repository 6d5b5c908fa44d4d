import { FAULTS, type Fault } from "./faults.ts";

export interface Options {
  readonly seed: number;
  /** How many images in all. */
  readonly images: number;
  readonly faults: readonly Fault[];
  readonly durability: "full" | "normal";
  readonly list: boolean;
  readonly keep: boolean;
}

/** What the caller got wrong. */
export class UsageError extends Error {}

export const USAGE = `usage: npm run power -- [options]
  --images N         how many images of power cuts (default 200)
  --seed N           the seed of all that is random (default 1)
  --only A[,B]       these faults only
  --durability D     full (default), or normal: which may lose runs, and does
  --keep             keep the images that failed
  --list             name the faults, and do nothing`;

export function parseOptions(args: readonly string[]): Options {
  const options = {
    seed: 1,
    images: 200,
    faults: FAULTS,
    durability: "full" as "full" | "normal",
    list: false,
    keep: false,
  };
  const rest = [...args];
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === "--list") options.list = true;
    else if (name === "--keep") options.keep = true;
    else if (name === "--seed") options.seed = wholeNumber(name, rest.shift(), 0);
    else if (name === "--images") options.images = wholeNumber(name, rest.shift(), 1);
    else if (name === "--durability") options.durability = durabilityNamed(rest.shift());
    else if (name === "--only") options.faults = faultsNamed(rest.shift());
    else throw new UsageError(`unknown option ${JSON.stringify(name)}`);
  }
  return options;
}

function wholeNumber(name: string, value: string | undefined, min: number): number {
  const number = Number(value);
  if (value !== undefined && /^\d+$/.test(value) && number >= min && Number.isSafeInteger(number)) {
    return number;
  }
  throw new UsageError(`expected ${name} to be a whole number from ${min}, got ${value}`);
}

function durabilityNamed(value: string | undefined): "full" | "normal" {
  if (value === "full" || value === "normal") return value;
  throw new UsageError(`expected --durability to be full or normal, got ${value}`);
}

function faultsNamed(names: string | undefined): Fault[] {
  if (names === undefined) throw new UsageError("expected --only to name faults, got nothing");
  return names.split(",").map((name) => {
    const fault = FAULTS.find((known) => known.name === name);
    if (fault !== undefined) return fault;
    const known = FAULTS.map((each) => each.name).join(", ");
    throw new UsageError(`expected --only to name some of ${known}; got ${JSON.stringify(name)}`);
  });
}
