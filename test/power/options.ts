import { only, UsageError, wholeNumber } from "../support/command-line.ts";
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
    else if (name === "--only") options.faults = only(FAULTS, "faults", rest.shift());
    else throw new UsageError(`unknown option ${JSON.stringify(name)}`);
  }
  return options;
}

function durabilityNamed(value: string | undefined): "full" | "normal" {
  if (value === "full" || value === "normal") return value;
  throw new UsageError(`expected --durability to be full or normal, got ${value}`);
}
