import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resolveOptions } from "../../src/runner/options.ts";
import { ROOT } from "../support/build.ts";

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
  // Below the project, where the package finds itself by its name.
  let directory: string;

  beforeAll(() => {
    mkdirSync(join(ROOT, ".vitest"), { recursive: true });
    directory = mkdtempSync(join(ROOT, ".vitest/readme-"));
  });

  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("marks each of its code blocks with a language that is tested here", () => {
    const untested = blocks.filter(({ language }) => !["sh", "ts", "js", ""].includes(language));
    expect(untested).toEqual([]);
    // The picture is the one block that is no code.
    expect(inLanguage("")).toHaveLength(1);
  });

  it.each(inLanguage("ts").map((code, at) => ({ at, code })))(
    "TypeScript snippet $at runs and type checks",
    async ({ at, code }) => {
      const file = join(directory, `snippet-${at}.ts`);
      writeFileSync(file, code);
      const { stderr } = await execute(process.execPath, [file], { cwd: directory });
      expect(stderr).not.toMatch(/error/i);
      const options = ["--noEmit", "--strict", "--skipLibCheck", "--types", "node"];
      const modules = ["--module", "nodenext", "--target", "esnext"];
      await execute("npx", ["tsc", "--ignoreConfig", ...options, ...modules, file], { cwd: ROOT });
    },
  );

  it.each(inLanguage("js").map((code, at) => ({ at, code })))(
    "JavaScript snippet $at runs",
    async ({ at, code }) => {
      const file = join(directory, `snippet-${at}.js`);
      writeFileSync(file, code);
      const { stdout, stderr } = await execute(process.execPath, [file], { cwd: directory });
      expect(stderr).toBe("");
      if (code.includes("console.log")) expect(stdout).toBe("RUN_FINISHED 5\n");
    },
  );

  it("names commands that there are", () => {
    const commands = inLanguage("sh").flatMap((code) => code.trim().split(/ && |\n/));
    const inText = [...readme.matchAll(/`(npm run [\w-]+)`/g)].map(([, command = ""]) => command);
    for (const command of [...commands, ...inText]) {
      const words = command.split(" ");
      if (command === "npm ci") continue;
      if (words[1] === "install") {
        const peers = Object.keys(manifest.peerDependencies);
        expect(words.slice(2).sort()).toEqual([manifest.name, ...peers].sort());
      } else {
        const script = words[1] === "run" ? words[2] : words[1];
        expect(Object.keys(manifest.scripts)).toContain(script);
      }
    }
  });

  it("lists every option with its default", () => {
    const section = readme.split("\n## ").find((text) => text.startsWith("Options\n")) ?? "";
    const rows = [...section.matchAll(/^\| `(\w+)` \| (.*?) \| .*\|$/gm)];
    const listed = Object.fromEntries(rows.map(([, name = "", value = ""]) => [name, value]));
    const { logger, ...defaults } = resolveOptions({});
    const expected = Object.entries(defaults).map(([name, value]) => [
      name,
      `\`${JSON.stringify(value)}\``,
    ]);
    expect(listed).toEqual({ ...Object.fromEntries(expected), logger: "errors on stderr" });
  });
});
