import "../support/leak-guard.ts";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../support/build.ts";
import { spawnChild } from "../support/child-process.ts";
import { tempDirectory } from "../support/temp-file.ts";

/** Constructs a runner, and prints the code and the message of what it throws. */
const CONSTRUCT = `
  try {
    new SqliteAgentRunner({ dbPath });
    console.log("constructed");
  } catch (error) {
    console.log(error.code + ": " + error.message);
  }
`;

async function outputOf(command: string, script: string, cwd: string) {
  const child = spawnChild(command, ["--input-type=module", "--eval", script], { cwd });
  const lines: string[] = [];
  for (;;) {
    const { value, done } = await child.lines.next();
    if (done === true) break;
    lines.push(value as string);
  }
  return { ...(await child.exited), lines };
}

test("on a Node that is too old the constructor says so, and loads no native module", async () => {
  const directory = tempDirectory();
  const script = `
    Object.defineProperty(process, "versions", {
      value: { ...process.versions, node: "22.17.9" },
    });
    const { SqliteAgentRunner } = await import(${JSON.stringify(join(ROOT, "src/index.ts"))});
    const dbPath = ${JSON.stringify(join(directory, "threads.db"))};
    ${CONSTRUCT}
  `;
  const { code, stderr, lines } = await outputOf(process.execPath, script, ROOT);
  expect({ code, stderr, lines }).toEqual({
    code: 0,
    stderr: "",
    lines: ["NODE_TOO_OLD: expected Node 22.18 or newer, got 22.17.9"],
  });
  expect(existsSync(join(directory, "threads.db"))).toBe(false);
});

const OLD_NODE = "/usr/bin/node";
const oldVersion = spawnSync(OLD_NODE, ["--version"], { encoding: "utf8" }).stdout?.trim() ?? "";
const isOld = /^v(\d+)\./.test(oldVersion) && Number(/^v(\d+)/.exec(oldVersion)?.[1]) < 22;

test.skipIf(!isOld)(
  `the built package says so on a real old Node${isOld ? ` (${oldVersion})` : ` (SKIPPED: ${OLD_NODE} is ${oldVersion || "missing"}, not older than 22)`}`,
  async () => {
    const directory = tempDirectory();
    const built = JSON.stringify(join(ROOT, "dist/src/index.js"));
    const script = `
      const { SqliteAgentRunner } = await import(${built});
      const dbPath = "threads.db";
      ${CONSTRUCT}
    `;
    const { code, lines } = await outputOf(OLD_NODE, script, directory);
    expect({ code, lines }).toEqual({
      code: 0,
      lines: [`NODE_TOO_OLD: expected Node 22.18 or newer, got ${oldVersion.slice(1)}`],
    });
  },
);
