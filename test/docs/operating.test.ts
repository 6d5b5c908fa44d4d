import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { expect, test } from "vitest";
import { EVERY_RESOURCE, SqliteAgentRunner, withResource } from "../../src/index.ts";
import { ROOT } from "../support/build.ts";
import { CLI, cli } from "../support/cli.ts";
import { collectingLogger, runToEnd } from "../support/open-runner.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDirectory } from "../support/temp-file.ts";

const page = readFileSync(join(ROOT, "docs/operating.md"), "utf8");

/** A directory with `data/threads.db`: the threads THREAD, of nobody, and one of USER. */
async function serverDirectory(): Promise<string> {
  const directory = tempDirectory();
  mkdirSync(join(directory, "data"));
  const dbPath = join(directory, "data/threads.db");
  const runner = new SqliteAgentRunner({ dbPath, logger: collectingLogger() });
  for (const runId of ["r1", "r2"]) await runToEnd(runner, "THREAD", runId, answeringAgent());
  await withResource("USER", () => runToEnd(runner, "of USER", "r3", answeringAgent()));
  await runner.close();
  return directory;
}

/** Executes a script of the page as it stands there, in a shell in which `npx` finds this package. */
function shell(script: string, cwd: string) {
  const npx = join(cwd, "npx");
  writeFileSync(npx, `#!/bin/sh\nshift\nexec '${process.execPath}' '${CLI}' "$@"\n`);
  chmodSync(npx, 0o755);
  const env = { ...process.env, PATH: `${cwd}${delimiter}${process.env.PATH}` };
  const { status, stdout, stderr } = spawnSync("sh", ["-e", "-c", script], { cwd, env });
  return { status, said: String(stdout), errors: String(stderr) };
}

test("the scripts of docs/operating.md work, one after the other", async () => {
  const scripts = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, script = ""]) => script);
  expect(scripts.length).toBeGreaterThanOrEqual(7);
  const directory = await serverDirectory();
  const said = scripts.map((script) => {
    const ended = shell(script, directory);
    expect(ended, script).toMatchObject({ status: 0 });
    return ended.said;
  });
  expect(said.join("")).toContain("threads.db: no problems");
  expect(said.join("")).toContain("nothing is left");
  expect(existsSync(join(directory, "data/before/threads.db"))).toBe(true);
  expect(existsSync(join(directory, "data/version-1.db"))).toBe(true);
  const dbPath = join(directory, "data/threads.db");
  const runner = new SqliteAgentRunner({ dbPath, logger: collectingLogger() });
  const { threads } = await withResource(EVERY_RESOURCE, () => runner.threads.list());
  await runner.close();
  expect(threads.map(({ id }) => id)).toEqual(["THREAD"]);
});

test("the commands of its table of symptoms work", async () => {
  const directory = await serverDirectory();
  const env = { DB_PATH: join(directory, "data/threads.db") };
  const rows = page.slice(page.indexOf("| symptom |")).split("\n").slice(2);
  const known = ["tail", "stop", "show", "stats", "check", "migrate", "export", "purge"];
  const commands = rows
    .flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code.split(" ")))
    .filter(([name = ""]) => known.includes(name));
  expect(new Set(commands.map(([name]) => name))).toEqual(new Set(known));
  for (const command of commands) {
    const { code } = await cli(command, { env });
    // No run executes here that could be stopped.
    expect({ command, code }).toEqual({ command, code: command[0] === "stop" ? 3 : 0 });
  }
});

test("its links lead to pages and sections that exist", () => {
  const links = [...page.matchAll(/\]\(([^)#\s]*)(?:#([^)]+))?\)/g)];
  expect(links.length).toBeGreaterThan(10);
  for (const [link, path = "", section] of links) {
    const target = path === "" ? page : readFileSync(join(ROOT, "docs", path), "utf8");
    const titles = [...target.matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) => slugOf(title));
    if (section !== undefined) expect(titles, link).toContain(section);
  }
});

/** The name of a section in a link, as GitHub makes it. */
function slugOf(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}
