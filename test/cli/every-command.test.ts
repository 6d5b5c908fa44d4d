import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { version1Files } from "../fixtures/sources.ts";
import { cli, fileWithThreads } from "../support/cli.ts";
import { processInMidRun } from "../support/runner-process.ts";
import { COMMANDS, everyCommand } from "./every-command.ts";

const DONE = {
  ...{ threads: 0, show: 0, tail: 0, stats: 0, check: 0, migrate: 0, backup: 0, fork: 0 },
  ...{ export: 0, "export --fixture": 0, "export --version-1": 0, import: 0 },
  ...{ purge: 0, erase: 0, stop: 0 },
};

test("the tables name every command but inspect, which serves a page until it is ended", async () => {
  const { lines } = await cli(["--help"]);
  const known = lines.flatMap((line) => /^ {2}([a-z]+) \[options\]/.exec(line)?.[1] ?? []);
  const named = new Set(COMMANDS("").map(([name]) => name));
  expect([...named].sort()).toEqual(known.filter((name) => name !== "inspect").sort());
});

test("on the file of a live server, each command works, and the server's run goes on until stop", async () => {
  const db = await fileWithThreads();
  const { owner, run } = await processInMidRun(db);
  const { codes, failures, files } = await everyCommand(db);
  expect(failures).toEqual({});
  expect(codes).toEqual(DONE);
  expect(files).toEqual(["backup.db", "u.ndjson", "fixture.ndjson", "version-1.db"]);
  expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  const { lines } = await cli(["threads", "--json", "--db", db]);
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    // A purge leaves a thread alone that a run holds.
    { id: "t", runs: 3, isRunning: false },
    { id: "f", resourceId: "ann" },
  ]);
  await owner.close();
});

test.each(version1Files)(
  "on a file of version 1, $name, all but check and migrate name migrate, and change nothing",
  async ({ copy }) => {
    const db = copy();
    const before = readFileSync(db);
    for (const command of COMMANDS("/tmp/none")) {
      if (command[0] === "migrate") continue;
      const { code, lines, stderr } = await cli([...command, "--db", db]);
      if (command[0] === "check")
        expect({ code, lines }).toEqual({ code: 0, lines: [`${db}: no problems`] });
      else expect({ command, code, lines }).toEqual({ command, code: 1, lines: [] });
      if (command[0] !== "check") expect(stderr).toContain(`migrate --db ${db}`);
    }
    expect(readFileSync(db).equals(before)).toBe(true);
    expect((await cli(["migrate", "--db", db])).code).toBe(0);
    expect((await cli(["show", "long", "--db", db])).code).toBe(0);
  },
);
