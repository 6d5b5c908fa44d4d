import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { FAULTS } from "./faults.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));

interface Outcome {
  readonly code: number | string | null | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

function simulate(...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

describe("npm run simulate", () => {
  it("executes the schedules that it is told to, and sums them up", async () => {
    const { code, stdout } = await simulate("--schedules", "40", "--seed", "7", "--only", "kills");
    expect(stdout).toMatch(/^simulate: seed 7, 40 schedule\(s\)$/m);
    expect(stdout).toMatch(/^40 schedules, [1-9]\d* runs, 0 failed, /m);
    expect(code).toBe(0);
  });

  it("executes the same on one thread as on several", async () => {
    const sumOf = async (schedules: string, jobs: string, first: string) => {
      const options = ["--schedules", schedules, "--jobs", jobs, "--first", first];
      const { code, stdout } = await simulate("--seed", "9", ...options);
      expect(code).toBe(0);
      return Number(stdout.match(/^\d+ schedules, (\d+) runs, 0 failed, /m)?.[1]);
    };
    const [alone, together] = await Promise.all([sumOf("300", "1", "1"), sumOf("300", "3", "1")]);
    expect(alone).toBeGreaterThan(300);
    expect(together).toBe(alone);
    // In two runs, one of which continues the other.
    const [begun, continued] = await Promise.all([
      sumOf("120", "1", "1"),
      sumOf("180", "1", "121"),
    ]);
    expect(begun + continued).toBe(alone);
  });

  it("has the same timeline each time for a schedule, and another one for another schedule", async () => {
    const timelineOf = async (schedule: string) => {
      const { code, stdout } = await simulate("--seed", "3", "--schedule", schedule);
      expect(code).toBe(0);
      return stdout;
    };
    const numbers = ["1", "2", "3", "4", "5"];
    const once = await Promise.all(numbers.map(timelineOf));
    const again = await Promise.all(numbers.map(timelineOf));
    expect(again).toEqual(once);
    expect(new Set(once).size).toBe(numbers.length);
  });

  it("names its faults", async () => {
    const { code, stdout } = await simulate("--list");
    const lines = stdout.trim().split("\n");
    expect(lines.map((line) => line.split(" ")[0])).toEqual(FAULTS.map(({ name }) => name));
    expect(code).toBe(0);
  });

  it.each([
    { args: ["--speed", "9"], says: 'unknown option "--speed"' },
    { args: ["--schedules", "0"], says: "expected --schedules to be a whole number from 1, got 0" },
    { args: ["--jobs", "0"], says: "expected --jobs to be a whole number from 1, got 0" },
    { args: ["--seed", "x"], says: "expected --seed to be a whole number from 0, got x" },
    {
      args: ["--schedule"],
      says: "expected --schedule to be a whole number from 1, got undefined",
    },
    { args: ["--only", "kill"], says: 'got "kill"' },
  ])("refuses $args", async ({ args, says }) => {
    const { code, stdout, stderr } = await simulate(...args);
    expect(stderr).toContain(says);
    expect(stderr).toContain("usage: npm run simulate");
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });
});
