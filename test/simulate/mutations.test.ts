import { execFile } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mutatedCopy } from "../support/mutated-copy.ts";
import { MUTATIONS, type Mutation } from "./mutations.ts";

function simulate(directory: string, { schedules, only }: Mutation): Promise<string> {
  const main = join(directory, "test/simulate/main.ts");
  const args = [main, "--seed", "1", "--schedules", `${schedules}`, "--failures", "1"];
  if (only !== undefined) args.push("--only", only);
  return new Promise((resolve) => {
    execFile(process.execPath, args, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}

describe("npm run simulate finds", () => {
  it.each(MUTATIONS)("$name", async (mutation) => {
    using copy = mutatedCopy(mutation);
    const said = await simulate(copy.directory, mutation);
    expect(said).toMatch(/^\d+ schedules, \d+ runs, 1 failed/m);
    expect(said).toMatch(/^ {2}\d+ actions, \d+ in its shortest form:$/m);
  });
});
