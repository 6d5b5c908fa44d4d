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

const STORES = [
  { store: "sqlite", label: "chaos" },
  { store: "postgres", label: "chaos on PostgreSQL" },
];

it.each(STORES)(
  "the guarantees name every fault of chaos runs on $store, and no other fault",
  async ({ store, label }) => {
    const main = join(ROOT, "test/chaos/main.ts");
    const args = [main, "--list", "--store", store];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const faults = [...stdout.matchAll(/^\s*([a-z]+(?:-[a-z]+)*)\b/gm)].map(
      ([, name = ""]) => name,
    );
    expect(faults).toContain("kill-at-random");
    const lists = page.matchAll(new RegExp(`${label}: ([a-z, -]+?)(?:,? and|;| \\|)`, "g"));
    const named = [...lists].flatMap(([, names = ""]) =>
      names.split(", ").filter((name) => name !== "every round"),
    );
    expect([...new Set(named)].sort()).toEqual(faults.sort());
  },
);
