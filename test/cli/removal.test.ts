import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cli, fileWithThreads, startCli } from "../support/cli.ts";
import { eventually } from "../support/poll.ts";
import { tempDatabase, tempDirectory } from "../support/temp-file.ts";

async function idsIn(db: string): Promise<string[]> {
  const { lines } = await cli(["threads", "--json", "--db", db]);
  return lines.map((line) => (JSON.parse(line) as { id: string }).id).sort();
}

describe("purge", () => {
  test("says what would go, and removes it only with --yes", async () => {
    const db = await fileWithThreads();
    const limits = ["purge", "--max-runs", "1", "--db", db];
    const dry = await cli([...limits, "--dry-run"]);
    expect(dry.lines).toEqual([expect.stringMatching(/^1 run of .* would be removed\.$/)]);
    const refused = await cli(limits, { input: "y\n" });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("add --yes");
    const { lines } = await cli([...limits, "--yes", "--json"]);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ threads: 0, runs: 1, dryRun: false });
    const again = await cli([...limits, "--dry-run", "--json"]);
    expect(JSON.parse(again.lines[0] ?? "")).toMatchObject({ runs: 0 });
  });
});

describe("erase", () => {
  test("erases a thread, and then does not know it", async () => {
    const db = await fileWithThreads();
    const args = ["erase", "--thread", "t", "--db", db, "--yes"];
    const { code, lines, stderr } = await cli(args);
    expect({ code, lines }).toEqual({
      code: 0,
      lines: [expect.stringContaining("nothing is left")],
    });
    expect(stderr).toContain("Erasing the thread t with 2 runs");
    expect(await idsIn(db)).toEqual(["u"]);
    expect((await cli(args)).code).toBe(3);
  });

  test("erases all of a resource", async () => {
    const db = await fileWithThreads();
    const asked = await cli(["erase", "--resource", "ann", "--db", db]);
    expect(asked.code).toBe(2);
    expect(asked.stderr).toContain("1 thread of ann");
    const { lines } = await cli(["erase", "--resource", "ann", "--db", db, "--yes", "--json"]);
    expect(JSON.parse(lines[0] ?? "")).toEqual({ threads: 1, runs: 1, verified: true });
    expect(await idsIn(db)).toEqual(["t"]);
  });
});

test("a backup is a database, and never replaces a file", async () => {
  const db = await fileWithThreads();
  const copy = join(tempDirectory(), "copy.db");
  expect((await cli(["backup", copy, "--db", db])).code).toBe(0);
  expect(await idsIn(copy)).toEqual(["t", "u"]);
  const again = await cli(["backup", copy, "--db", db]);
  expect(again.code).toBe(1);
  expect(again.stderr).toContain("BACKUP_EXISTS");
});

test("fork makes a thread up to a run", async () => {
  const db = await fileWithThreads();
  const { lines } = await cli(["fork", "t", "--at-run", "r1", "--as", "f", "--db", db]);
  expect(lines).toEqual(["f"]);
  const runs = await cli(["show", "f", "--runs", "--json", "--db", db]);
  expect(runs.lines).toHaveLength(1);
  expect((await cli(["fork", "t", "--at-run", "none", "--db", db])).code).toBe(3);
  expect((await cli(["fork", "t", "--as", "f", "--db", db])).code).toBe(1);
});

describe("export and import", () => {
  test("move threads through a pipe, and can be repeated", async () => {
    const db = await fileWithThreads();
    const { code, lines, stderr } = await cli(["export", "--db", db]);
    expect(code).toBe(0);
    expect(stderr).toContain("2 threads and 3 runs exported");
    const input = `${lines.join("\n")}\n`;
    const other = tempDatabase();
    const first = await cli(["import", "--json", "--db", other], { input });
    expect(JSON.parse(first.lines[0] ?? "")).toEqual({ threads: 2, skipped: 0, runs: 3 });
    const second = await cli(["import", "--json", "--db", other], { input });
    expect(JSON.parse(second.lines[0] ?? "")).toMatchObject({ threads: 0, skipped: 2 });
    expect(await idsIn(other)).toEqual(["t", "u"]);
  });

  test("go through a compressed file, which is whole when it has its name", async () => {
    const db = await fileWithThreads();
    const file = join(tempDirectory(), "threads.ndjson.gz");
    const { code } = await cli(["export", "--thread", "t", "--out", file, "--db", db]);
    expect(code).toBe(0);
    const other = tempDatabase();
    expect((await cli(["import", file, "--db", other])).code).toBe(0);
    expect(await idsIn(other)).toEqual(["t"]);
  });

  test("an import that waits for its input ends with Ctrl-C", async () => {
    const db = tempDatabase();
    const child = startCli(["import", "--db", db]);
    // The command makes the file, and listens to signals by then.
    await eventually(() => existsSync(db));
    child.process.kill("SIGINT");
    expect(await child.exited).toEqual({
      code: 130,
      stderr: "durable-agent-runner: interrupted\n",
    });
  });

  test("say what is wrong", async () => {
    const db = await fileWithThreads();
    expect((await cli(["export", "--thread", "none", "--db", db])).code).toBe(3);
    const missing = await cli(["import", join(tempDirectory(), "none"), "--db", db]);
    expect(missing.code).toBe(3);
    const damaged = join(tempDirectory(), "damaged.ndjson");
    writeFileSync(damaged, '{"type":"thr');
    const { code, stderr } = await cli(["import", damaged, "--db", db]);
    expect(code).toBe(1);
    expect(stderr).toContain("EXPORT_DAMAGED");
    expect(existsSync(damaged)).toBe(true);
  });
});
