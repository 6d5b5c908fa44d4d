import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { STORES } from "./stores.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));

interface Outcome {
  readonly code: number | string | null | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

function chaos(...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

describe("npm run chaos", () => {
  it("runs the requested rounds, and sums them up", async () => {
    const { code, stdout } = await chaos(
      "--rounds",
      "2",
      "--seed",
      "7",
      "--only",
      "kill-mid-batch",
    );
    expect(stdout).toMatch(/^chaos: seed 7, 2 round\(s\)$/m);
    expect(stdout).toMatch(/^round 1 kill-mid-batch: ok, \d+ completed, [1-9]\d* interrupted/m);
    expect(stdout).toMatch(/^round 2 kill-mid-batch: ok, \d+ completed, [1-9]\d* interrupted/m);
    expect(stdout).toMatch(/^kill-mid-batch +2 +[1-9]\d* +[1-9]\d* +0 +\d+\.\d s$/m);
    expect(code).toBe(0);
  });

  it.each(STORES)("lists the faults of $name", async ({ name: store, faults }) => {
    const { code, stdout } = await chaos("--list", "--store", store);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" ")[0]),
    ).toEqual(faults.map(({ name }) => name));
    expect(code).toBe(0);
  });

  it.each([
    { args: ["--speed", "9"], says: 'unknown option "--speed"' },
    { args: ["20"], says: 'unknown option "20"' },
    { args: ["--rounds"], says: "expected --rounds to be a whole number from 1, got undefined" },
    { args: ["--store", "mysql"], says: "expected --store to be sqlite or postgres, got mysql" },
    { args: ["--store", "postgres", "--only", "kill-mid-batch"], says: 'got "kill-mid-batch"' },
    { args: ["--rounds", "0"], says: "expected --rounds to be a whole number from 1, got 0" },
    { args: ["--seed", "-1"], says: "expected --seed to be a whole number from 0, got -1" },
    { args: ["--round", "1.5"], says: "expected --round to be a whole number from 1, got 1.5" },
    { args: ["--only", "kill,"], says: 'got "kill"' },
    { args: ["--only"], says: "expected --only to name faults, got nothing" },
    { args: ["--until"], says: "expected --until to name a rule, got nothing" },
  ])("refuses $args", async ({ args, says }) => {
    const { code, stdout, stderr } = await chaos(...args);
    expect(stderr).toContain(says);
    expect(stderr).toContain("usage: npm run chaos");
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });
});
