import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { ROOT } from "../support/build.ts";

const page = readFileSync(join(ROOT, "docs/guarantees.md"), "utf8");

it("the guarantees name only tests that exist", () => {
  const links = [...page.matchAll(/\]\((\.\.\/[^)]+)\)/g)].map(([, path = ""]) => path);
  expect(links.length).toBeGreaterThan(0);
  for (const link of links) expect(existsSync(join(ROOT, "docs", link)), link).toBe(true);
});

it("the guarantees name every fault of the chaos runs, and no other fault", async () => {
  const main = join(ROOT, "test/chaos/main.ts");
  const { stdout } = await promisify(execFile)(process.execPath, [main, "--list"]);
  const faults = [...stdout.matchAll(/^\s*([a-z]+(?:-[a-z]+)+)\b/gm)].map(([, name = ""]) => name);
  expect(faults).toContain("kill-at-random");
  const named = [...page.matchAll(/chaos: ([a-z, -]+?)(?:,? and|;| \|)/g)].flatMap(
    ([, names = ""]) => names.split(", ").filter((name) => name !== "every round"),
  );
  expect([...new Set(named)].sort()).toEqual(faults.sort());
});
