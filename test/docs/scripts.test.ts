import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { ROOT } from "../support/build.ts";
import { cli, fileWithThreads } from "../support/cli.ts";

/** Writes the scripts of a page below the project, where the package finds itself by its name. */
function scriptsOf(page: string): (...args: readonly string[]) => Promise<object> {
  return scriptsIn(page).run;
}

/** The same, with the directory in which they are executed. */
function scriptsIn(page: string) {
  mkdirSync(join(ROOT, ".vitest"), { recursive: true });
  const directory = mkdtempSync(join(ROOT, ".vitest/scripts-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const blocks = readFileSync(join(ROOT, "docs", page), "utf8").matchAll(
    /^```js\n\/\/ (\S+)\n(.*?)^```$/gms,
  );
  for (const [, name = "", code = ""] of blocks) writeFileSync(join(directory, name), code);
  const run = async (...args: readonly string[]): Promise<object> => {
    // Without type stripping, sources in place of the built package would not run.
    const env = { ...process.env, NODE_OPTIONS: "--no-experimental-strip-types" };
    const child = spawn(process.execPath, args, { cwd: directory, env });
    const [said, errors, [code, signal]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "close"),
    ]);
    return { said, errors, code, signal };
  };
  return { run, directory };
}

test("docs/after-a-crash.md: an answer that a crash cut off is given after all", async () => {
  const run = scriptsOf("after-a-crash.md");
  expect(await run("carry-on.mjs", "ask")).toMatchObject({ said: "", signal: "SIGKILL" });
  expect(await run("carry-on.mjs")).toMatchObject({
    said: "attempt 1: Once upon a time, and they lived on.\n",
    code: 0,
  });
});

test("docs/resources.md: another user's thread is not found", async () => {
  const run = scriptsOf("resources.md");
  expect(await run("tenants.mjs")).toEqual({
    said: "RUN_STARTED RUN_FINISHED\nRUN_ERRORTHREAD_NOT_FOUND\n",
    ...{ errors: "", code: 0, signal: null },
  });
});

test("docs/moving.md: a thread is moved through a file, and goes on", async () => {
  const run = scriptsOf("moving.md");
  expect(await run("move.mjs")).toEqual({
    said: "1 threads, 1 runs\nA thread that moves: 2 runs, 2 messages\n0 imported, 1 skipped\n",
    ...{ errors: "", code: 0, signal: null },
  });
});

test("docs/telemetry.md: a run is a span, and the channels tell of runs and batches", async () => {
  const run = scriptsOf("telemetry.md");
  const traced = (await run("traced.mjs")) as { said: string };
  expect(traced).toMatchObject({ errors: "", code: 0 });
  for (const attribute of [
    "name: 'invoke_agent echo'",
    "'gen_ai.conversation.id': 'hello'",
    "'gen_ai.request.model': 'gpt-5-mini'",
    "'gen_ai.usage.input_tokens': 12",
  ]) {
    expect(traced.said).toContain(attribute);
  }
  expect(await run("channels.mjs")).toEqual({
    said: "1 true\n1 true\nfailed INCOMPLETE_STREAM\nhello r1 error 1\n",
    ...{ errors: "", code: 0, signal: null },
  });
});

test("docs/command-line.md: a client's test reads a fixture", async () => {
  const { run, directory } = scriptsIn("command-line.md");
  const db = await fileWithThreads();
  const out = join(directory, "fixture.ndjson");
  expect((await cli(["export", "--fixture", "t", "--out", out, "--db", db])).code).toBe(0);
  const passed = (await run("--test", "fixture.test.mjs")) as { said: string };
  expect(passed).toMatchObject({ errors: "", code: 0 });
  expect(passed.said).toMatch(/pass 1\b/);
});
