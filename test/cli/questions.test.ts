import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { describe, expect, onTestFinished, test } from "vitest";
import { CLI, cli, fileWithThreads } from "../support/cli.ts";

const HAS_SCRIPT = spawnSync("script", ["--version"]).stdout?.toString().includes("util-linux");

/** Executes the command line on a terminal of its own, and presses `keys` when it asks. */
async function onTerminal(args: readonly string[], keys: string) {
  const quoted = [process.execPath, CLI, ...args].map((word) => `'${word}'`).join(" ");
  const child = spawn("script", [
    "--quiet",
    "--flush",
    "--return",
    "--command",
    quoted,
    "/dev/null",
  ]);
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const hasAsked = said.includes("[y/N]");
    said += text;
    if (!hasAsked && said.includes("[y/N]")) child.stdin.write(keys);
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, said };
}

async function runsIn(db: string): Promise<number> {
  const { lines } = await cli(["stats", "--json", "--db", db]);
  return (JSON.parse(lines[0] ?? "") as { runs: number }).runs;
}

describe.skipIf(!HAS_SCRIPT)("a question on a terminal", () => {
  test.each([
    ["Ctrl-C", "\u0003", 130, "durable-agent-runner: interrupted"],
    ["Ctrl-D", "\u0004", 130, "durable-agent-runner: interrupted"],
    ["no", "n\r", 1, "nothing was removed"],
    ["nothing", "\r", 1, "nothing was removed"],
  ])("removes nothing, and ends at once, after %s", async (_what, keys, code, says) => {
    const db = await fileWithThreads();
    for (const args of [
      ["purge", "--max-runs", "1"],
      ["erase", "--thread", "t"],
    ]) {
      const ended = await onTerminal([...args, "--db", db], keys);
      expect(ended.said).toContain(says);
      expect(ended.code).toBe(code);
    }
    expect(await runsIn(db)).toBe(3);
  });

  test("removes what it said after yes", async () => {
    const db = await fileWithThreads();
    const { code, said } = await onTerminal(["purge", "--max-runs", "1", "--db", db], "y\r");
    expect(said).toMatch(/Remove 1 run of .* for good\?/);
    expect(code).toBe(0);
    expect(await runsIn(db)).toBe(2);
  });
});
