import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../support/build.ts";

const execute = promisify(execFile);
const page = readFileSync(join(ROOT, "docs/stores.md"), "utf8");
const scripts = [...page.matchAll(/^```js\n\/\/ (\S+)\n(.*?)^```$/gms)].map(
  ([, name = "", code = ""]) => ({ name, code }),
);
const [, command = ""] = /^```sh\n(.*)\n```$/m.exec(page) ?? [];

/** The store that the page leaves to its reader: the one on SQLite, of the built package. */
const MY_STORE = `
  import { randomUUID } from "node:crypto";
  import { mkdtempSync, rmSync } from "node:fs";
  import { join } from "node:path";
  import { sqliteRunStore } from ${JSON.stringify(join(ROOT, "dist/src/store/sqlite/sqlite-run-store.js"))};

  export async function createDatabase() {
    const directory = mkdtempSync(join(import.meta.dirname, "database-"));
    const drop = () => rmSync(directory, { recursive: true });
    return { dbPath: join(directory, "threads.db"), drop };
  }

  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const sizes = { maxBatchBytes: 2 ** 20, maxPendingBytes: 2 ** 26, readers: 1 };
  const rest = { lingerMs: 5, leaseMs: 15_000, durability: "full", storeRawEvents: true };
  export const openMyStore = ({ dbPath }) =>
    sqliteRunStore({ dbPath, instanceId: randomUUID(), logger: silent, ...sizes, ...rest });
`;

describe("docs/stores.md", () => {
  // Below the project, where the package finds itself by its name.
  let directory: string;

  beforeAll(() => {
    mkdirSync(join(ROOT, ".vitest"), { recursive: true });
    directory = mkdtempSync(join(ROOT, ".vitest/stores-"));
    writeFileSync(join(directory, "my-store.mjs"), MY_STORE);
    for (const { name, code } of scripts) writeFileSync(join(directory, name), code);
  });

  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  // Without type stripping, sources in place of the built package would not run.
  const run = async (...args: readonly string[]) => {
    const env = { ...process.env, NODE_OPTIONS: "--no-experimental-strip-types" };
    const { stdout } = await execute(process.execPath, args, { cwd: directory, env });
    return stdout;
  };

  it("has a suite that runs on node:test as the page says", async () => {
    const [node, ...options] = command.split(" ");
    expect(node).toBe("node");
    // The whole suite runs on this store beside the other stores' tests.
    const some = ["--test-name-pattern", "claims|flush and stats|another: knows"];
    const stdout = await run(...some, "--test-reporter", "tap", ...options);
    expect(stdout).toContain("# Subtest: my store: claims");
    expect(stdout).toContain("ok 1 - a thread without a run can be claimed");
    expect(stdout).toMatch(/^# fail 0$/m);
    const [, passed = ""] = /^# pass (\d+)$/m.exec(stdout) ?? [];
    expect(Number(passed)).toBeGreaterThan(10);
  });

  it("has a runner on a store of one's own", async () => {
    const script = `
      import { runner } from "./runner.mjs";
      await runner.ready();
      await runner.close();
      console.log("closed");
    `;
    expect(await run("--input-type=module", "--eval", script)).toBe("closed\n");
  });
});
