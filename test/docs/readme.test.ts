import { execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resolveOptions } from "../../src/runner/options.ts";
import { ROOT } from "../support/build.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { valueIn } from "../support/database-file.ts";

const execute = promisify(execFile);
const readme = readFileSync(join(ROOT, "README.md"), "utf8");
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

/** The README's code blocks, with the language each is marked with. */
const blocks = [...readme.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(
  ([, language = "", code = ""]) => ({ language, code }),
);
const inLanguage = (...languages: readonly string[]) =>
  blocks.filter(({ language }) => languages.includes(language)).map(({ code }) => code);

describe("the README", () => {
  // Inside the project, where the package can be imported by its name.
  let directory: string;

  beforeAll(() => {
    mkdirSync(join(ROOT, ".vitest"), { recursive: true });
    directory = mkdtempSync(join(ROOT, ".vitest/readme-"));
  });

  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("marks each of its code blocks with a language that is tested here", () => {
    const untested = blocks.filter(({ language }) => !["sh", "ts", "js", ""].includes(language));
    expect(untested).toEqual([]);
    // Only the diagram has no language.
    expect(inLanguage("")).toHaveLength(1);
    for (const language of ["sh", "ts", "js"]) expect(inLanguage(language)).not.toEqual([]);
  });

  it.each(inLanguage("ts").map((code, at) => ({ at, code })))(
    "TypeScript snippet $at type checks",
    async ({ at, code }) => {
      const file = join(directory, `snippet-${at}.ts`);
      writeFileSync(file, code);
      const options = ["--noEmit", "--strict", "--skipLibCheck", "--types", "node"];
      const modules = ["--module", "nodenext", "--target", "esnext"];
      const args = ["tsc", "--ignoreConfig", ...options, ...modules, file];
      const { stdout } = await execute("npx", args, { cwd: ROOT });
      expect(stdout).toBe("");
    },
  );

  it("has a server that starts, makes its database, and exits with code 0 on SIGTERM", async () => {
    const code = inLanguage("ts").find((snippet) => snippet.startsWith("// server.mts")) ?? "";
    const file = join(directory, "server.mts");
    writeFileSync(file, code);
    const env = { ...process.env, PORT: "0", COPILOTKIT_TELEMETRY_DISABLED: "true" };
    const server = spawnChild(process.execPath, [file], { cwd: directory, env });
    expect(await nextLine(server)).toMatch(/^listening/);
    expect(existsSync(join(directory, "data/threads.db"))).toBe(true);
    server.process.kill("SIGTERM");
    expect(await server.exited).toEqual({ code: 0, stderr: "" });
  });

  it("has a server that answers the curl command of docs/servers.md with the agent without a key", async () => {
    const page = readFileSync(join(ROOT, "docs/servers.md"), "utf8");
    const agent = /^```js\n(\/\/ agent\.mjs\n.*?)^```$/ms.exec(page)?.[1] ?? "";
    const [, url = "", body = ""] = /curl -N (\S+)[^`]*-d '(.*?)'/s.exec(page) ?? [];
    const own = mkdtempSync(join(directory, "agent-"));
    writeFileSync(join(own, "agent.mjs"), agent);
    const server = inLanguage("ts").find((snippet) => snippet.startsWith("// server.mts")) ?? "";
    const withAgent = server
      .replace(/new BuiltInAgent\(.*?\) \}/, "agent }")
      .replace(/console\.log\(.*?\)/, "console.log(server.address().port)");
    expect(withAgent).toContain("agents: { default: agent }");
    writeFileSync(join(own, "server.mts"), `import { agent } from "./agent.mjs";\n${withAgent}`);
    const env = { ...process.env, PORT: "0", COPILOTKIT_TELEMETRY_DISABLED: "true" };
    const child = spawnChild(process.execPath, [join(own, "server.mts")], { cwd: own, env });
    const port = await nextLine(child);
    const headers = { "content-type": "application/json" };
    const answered = await fetch(url.replace("4000", port), { method: "POST", headers, body });
    const text = await answered.text();
    expect(text.match(/"delta":"(.*?)"/g)).toHaveLength(3);
    expect(text).toContain("RUN_FINISHED");
    child.process.kill("SIGINT");
    expect(await child.exited).toEqual({ code: 0, stderr: "" });
  });

  it("has scripts that run: a talk that finds its stored runs when it runs again, and a backup", async () => {
    const own = mkdtempSync(join(directory, "js-"));
    const run = async (name: string) => {
      const { stdout, stderr } = await execute(process.execPath, [join(own, name)], { cwd: own });
      expect(stderr).toBe("");
      return stdout;
    };
    const scripts = inLanguage("js");
    const names = scripts.map((code) => /^\/\/ (\S+)\n/.exec(code)?.[1] ?? "");
    for (const [at, name] of names.entries()) writeFileSync(join(own, name), scripts[at] ?? "");
    expect(names).toEqual(["talk.mjs", "threads.mjs", "backup.mjs"]);
    expect(await run("talk.mjs")).toBe("RUN_FINISHED 5\n");
    expect(await run("talk.mjs")).toBe("RUN_FINISHED 10\n");
    expect(await run("threads.mjs")).toMatch(/^hello Is anybody there\? 2 \d{4}-\S+\n$/);
    const [, path = "", bytes] = /(\S+\.db) (\d+)\n$/.exec(await run("backup.mjs")) ?? [];
    expect(statSync(join(own, path)).size).toBe(Number(bytes));
    expect(valueIn(join(own, path), "SELECT count(*) FROM agent_runs")).toBe(2);
  });

  it("names only commands that exist", () => {
    const commands = inLanguage("sh").flatMap((code) => code.trim().split(/ && |\n/));
    const inText = [...readme.matchAll(/`(npm run [\w-]+)`/g)].map(([, command = ""]) => command);
    for (const command of [...commands, ...inText]) {
      const words = command.split(" ");
      if (command === "npm ci") continue;
      if (words[1] === "install") {
        expect(words.slice(2)).toEqual([manifest.name, "@copilotkit/runtime"]);
      } else {
        const script = words[1] === "run" ? words[2] : words[1];
        expect(Object.keys(manifest.scripts)).toContain(script);
      }
    }
  });

  it("links only to files and headings that exist, in the package too", async () => {
    const { stdout } = await execute("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
      cwd: ROOT,
    });
    const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
    const packed = new Set(files.map(({ path }) => path));
    // The guarantees link to tests, which are not in the package: see guarantees.test.ts.
    const pages = [...packed].filter((path) => /^docs\/(?!guarantees).*\.md$/.test(path));
    expect(pages).toContain("docs/threads.md");
    for (const page of [...pages, "README.md", "CONTRIBUTING.md"]) {
      const links = [...readFileSync(join(ROOT, page), "utf8").matchAll(/\]\(([^)]+)\)/g)];
      for (const [, link = ""] of links) {
        if (link.startsWith("https:")) continue;
        const [path = "", heading] = link.split("#");
        const target = path === "" ? page : join(dirname(page), path);
        expect(packed, `${page}: ${link}`).toContain(target);
        if (heading === undefined) continue;
        const headings = readFileSync(join(ROOT, target), "utf8").match(/^#+ .*$/gm) ?? [];
        const anchors = headings.map((text) =>
          text
            .replace(/^#+ /, "")
            .toLowerCase()
            .replace(/[^\w -]/g, "")
            .replaceAll(" ", "-"),
        );
        expect(anchors, `${page}: ${link}`).toContain(heading);
      }
    }
  });

  it("lists every option with its default", () => {
    const section = readme.split("\n## ").find((text) => text.startsWith("Options\n")) ?? "";
    const rows = [...section.matchAll(/^\| `(\w+)` \| (.*?) \| .*\|$/gm)];
    const listed = Object.fromEntries(rows.map(([, name = "", value = ""]) => [name, value]));
    const { logger, storeRun, replayRuns, ...defaults } = resolveOptions({});
    const expected = Object.entries(defaults).map(([name, value]) => [
      name,
      `\`${JSON.stringify(value)}\``,
    ]);
    expect(listed).toEqual({
      ...Object.fromEntries(expected),
      logger: "warnings and errors on stderr",
      storeRun: "all but suggestions",
      replayRuns: "all",
    });
  });
});
