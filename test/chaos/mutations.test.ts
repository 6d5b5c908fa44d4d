import { execFile } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mutatedCopy } from "../support/mutated-copy.ts";
import { MUTATIONS, type Mutation } from "./mutations.ts";

function chaos(directory: string, { only, rounds, rule }: Mutation): Promise<string> {
  const main = join(directory, "test/chaos/main.ts");
  const named = ["--store", "postgres", "--seed", "1", "--only", only];
  const args = [main, ...named, "--rounds", `${rounds}`, "--until", rule];
  return new Promise((resolve) => {
    execFile(process.execPath, args, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}

describe("npm run chaos -- --store postgres finds that", () => {
  it.each(MUTATIONS)("$name", { timeout: 600_000 }, async (mutation) => {
    using copy = mutatedCopy(mutation);
    const said = await chaos(copy.directory, mutation);
    expect(said).toMatch(new RegExp(`^ {2}${mutation.rule}$`, "m"));
  });
});
