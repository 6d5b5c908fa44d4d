import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { cli } from "../support/cli.ts";

const page = readFileSync(new URL("../../docs/command-line.md", import.meta.url), "utf8");

test("docs/command-line.md lists each command, with options that it has", async () => {
  const { lines } = await cli(["--help"]);
  const known = lines.flatMap((line) => /^ {2}([a-z]+) \[options\]/.exec(line)?.[1] ?? []);
  const rows = [...page.matchAll(/^\| `([a-z]+)[^`]*` \| (.+) \|$/gm)];
  expect(rows.map(([, name]) => name)).toEqual(known);
  for (const [, name = "", text = ""] of rows) {
    const help = (await cli([name, "--help"])).lines.join("\n");
    for (const [option] of text.matchAll(/--[a-z-]+/g)) expect(help).toContain(option);
  }
});
