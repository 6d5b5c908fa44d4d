import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { tempDirectory } from "../support/temp-file.ts";
import { FAULTS } from "./faults.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));
/** Without a compiler the command reports that, which the last test here checks. */
const canRecord = process.platform === "linux" && spawnSync("cc", ["--version"]).status === 0;

interface Outcome {
  readonly code: number | string | null | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

function power(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

describe("npm run power", () => {
  it.skipIf(!canRecord)(
    "finds runs that a power cut loses with durability normal, and no such run with full",
    async () => {
      const args = ["--images", "12", "--seed", "7", "--only", "load"];
      const full = await power(args);
      expect(full.stdout).toMatch(/^power: seed 7, 12 image\(s\), durability full$/m);
      expect(full.stdout).toMatch(/^load +1 +12 +[1-9]\d* +0 +0 +0 +\d+\.\d s$/m);
      expect(full.stdout).toMatch(/^0 violations: 12 images, [1-9]\d* acknowledged runs/m);
      expect(full.code).toBe(0);

      const normal = await power([...args, "--durability", "normal"]);
      // Only runs are lost: the last figure counts the violations of all other rules.
      expect(normal.stdout).toMatch(/^load +1 +12 +[1-9]\d* +[1-9]\d* +[1-9]\d* +0 +\d+\.\d s$/m);
      expect(normal.stdout).toMatch(/^ {2}lost: \S+ is not (there|whole)/m);
      expect(normal.stdout).toContain("repeat: npm run power -- --seed 7 --images 12");
      expect(normal.code).toBe(1);
    },
  );

  it("lists its faults", async () => {
    const { code, stdout } = await power(["--list"]);
    const lines = stdout.trim().split("\n");
    expect(lines.map((line) => line.split(" ")[0])).toEqual(FAULTS.map(({ name }) => name));
    expect(code).toBe(0);
  });

  it.each([
    { args: ["--rounds", "9"], says: 'unknown option "--rounds"' },
    { args: ["--images"], says: "expected --images to be a whole number from 1, got undefined" },
    { args: ["--images", "0"], says: "expected --images to be a whole number from 1, got 0" },
    { args: ["--seed", "-1"], says: "expected --seed to be a whole number from 0, got -1" },
    {
      args: ["--durability", "some"],
      says: "expected --durability to be full or normal, got some",
    },
    { args: ["--only", "rain"], says: 'got "rain"' },
  ])("refuses $args", async ({ args, says }) => {
    const { code, stdout, stderr } = await power(args);
    expect(stderr).toContain(says);
    expect(stderr).toContain("usage: npm run power");
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });

  it.skipIf(process.platform !== "linux")("says that it needs a C compiler", async () => {
    const { code, stderr } = await power(["--images", "1"], { PATH: tempDirectory() });
    expect(stderr).toContain("power: it cannot run here: it needs a C compiler named cc");
    expect(code).toBe(3);
  });
});
