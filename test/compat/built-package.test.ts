import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { ROOT } from "../support/build.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { fileWithThreads } from "../support/cli.ts";
import { tempDatabase } from "../support/temp-file.ts";

interface Bins {
  readonly "durable-agent-runner": string;
}

const execute = promisify(execFile);

/** Executes a run and replays it, with the package imported by its own name. */
const SCRIPT = `
  import { SqliteAgentRunner } from "durable-agent-runner";
  const agent = {
    abortRun() {},
    async runAgent({ threadId, runId }, { onEvent }) {
      onEvent({ event: { type: "RUN_STARTED", threadId, runId } });
      onEvent({ event: { type: "RUN_FINISHED", threadId, runId } });
    },
  };
  const runner = new SqliteAgentRunner({ dbPath: process.env.DB_PATH });
  const input = { threadId: "t", runId: "r", messages: [], state: {}, tools: [], context: [] };
  await new Promise((complete) => runner.run({ threadId: "t", agent, input }).subscribe({ complete }));
  runner.connect({ threadId: "t" }).subscribe({
    next: ({ type }) => console.log(type),
    complete: () => runner.close(),
  });
`;

describe("the built package", () => {
  it("can be imported by its name, and finds its workers", async () => {
    const { stdout } = await execute(
      process.execPath,
      ["--input-type=module", "--eval", SCRIPT],
      // Without type stripping, so that a worker in the sources would fail.
      {
        cwd: ROOT,
        env: {
          ...process.env,
          DB_PATH: ":memory:",
          NODE_OPTIONS: "--no-experimental-strip-types",
        },
      },
    );
    expect(stdout).toBe("RUN_STARTED\nRUN_FINISHED\n");
  });

  it("has a command line, which npm finds, and which finds its workers", async () => {
    const manifest = readFileSync(join(ROOT, "package.json"), "utf8");
    const { version, bin } = JSON.parse(manifest) as { version: string; bin: Bins };
    const main = join(ROOT, bin["durable-agent-runner"]);
    expect(readFileSync(main, "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
    const env = { ...process.env, NODE_OPTIONS: "--no-experimental-strip-types" };
    const call = (...args: string[]) => execute(process.execPath, [main, ...args], { env });
    expect((await call("--version")).stdout).toBe(`${version}\n`);
    const dbPath = await fileWithThreads();
    const { stdout } = await call("threads", "--json", "--db", dbPath);
    expect(stdout.trim().split("\n")).toHaveLength(2);
  });

  it("has the inspector's page, which needs no package that its users do not have", async () => {
    const main = join(ROOT, "dist/src/cli/main.js");
    const env = { ...process.env, NODE_OPTIONS: "--no-experimental-strip-types" };
    const args = [main, "inspect", "--db", await fileWithThreads()];
    const child = spawnChild(process.execPath, args, { env });
    const url = await nextLine(child);
    const html = await (await fetch(url)).text();
    const [, script = ""] = /<script [^>]*src="([^"]+)"/.exec(html) ?? [];
    const asset = await fetch(new URL(script, url));
    expect([asset.status, asset.headers.get("content-type")]).toEqual([
      200,
      expect.stringContaining("javascript"),
    ]);
    expect(await (await fetch(new URL("api/threads", url))).json()).toMatchObject({
      threads: [{ id: "u" }, { id: "t" }],
    });
    child.process.kill("SIGINT");
    const { code, stderr } = await child.exited;
    expect([code, stderr]).toEqual([0, "Ctrl-C ends the inspector.\n"]);
  });

  // V8 crashes now and then when many threads run WebAssembly: see CONTRIBUTING.md.
  it("compiles no WebAssembly in any of its threads", async () => {
    const TRACE = "--trace-wasm-compilation-times";
    const script = ["--input-type=module", "--eval", SCRIPT];
    const env = { ...process.env, DB_PATH: tempDatabase() };
    const { stdout } = await execute(process.execPath, [TRACE, ...script], { cwd: ROOT, env });
    expect(stdout).toBe("RUN_STARTED\nRUN_FINISHED\n");
    // Node strips types with WebAssembly.
    const strip = 'require("node:module").stripTypeScriptTypes("let one: 1")';
    const stripped = await execute(process.execPath, [TRACE, "--eval", strip]);
    expect(stripped.stdout).toContain("Compiled function");
  });
});
