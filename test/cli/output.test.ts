import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { CLI, cli, fileWithThreads } from "../support/cli.ts";
import { tempDirectory } from "../support/temp-file.ts";

describe("export --out", () => {
  test("refuses each file of the database that it reads, by whatever name", async () => {
    const db = await fileWithThreads();
    const link = join(tempDirectory(), "link");
    symlinkSync(db, link);
    for (const out of [db, `${db}-wal`, link]) {
      const { code, stderr } = await cli(["export", "--db", db, "--out", out]);
      expect({ out, code }).toEqual({ out, code: 2 });
      expect(stderr).toContain("is a file of the database");
    }
    expect((await cli(["threads", "--json", "--db", db])).lines).toHaveLength(2);
  });

  test("writes to a pipe, which stays one", async () => {
    const db = await fileWithThreads();
    const pipe = join(tempDirectory(), "pipe");
    execFileSync("mkfifo", [pipe]);
    const exported = cli(["export", "--db", db, "--out", pipe]);
    const read = await cli(["import", "--json", "--db", `${db}.copy`, pipe]);
    expect((await exported).code).toBe(0);
    expect(JSON.parse(read.lines[0] ?? "")).toMatchObject({ threads: 2, runs: 3 });
    expect(lstatSync(pipe).isFIFO()).toBe(true);
  });

  test("replaces the file that a link leads to, and not the link", async () => {
    const db = await fileWithThreads();
    const directory = tempDirectory();
    const [link, file] = [join(directory, "link.ndjson"), join(directory, "file.ndjson")];
    writeFileSync(file, "old");
    symlinkSync(file, link);
    expect((await cli(["export", "--db", db, "--out", link])).code).toBe(0);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(readFileSync(file, "utf8")).toContain('"type":"total"');
    expect(readdirSync(directory).toSorted()).toEqual([basename(file), basename(link)]);
  });

  test("says before the export that a name is a directory", async () => {
    const db = await fileWithThreads();
    const { code, stderr } = await cli(["export", "--db", db, "--out", tempDirectory()]);
    expect({ code, isExported: stderr.includes("exported") }).toEqual({
      code: 2,
      isExported: false,
    });
  });
});

test.runIf(existsSync("/dev/full"))("a full disk under stdout is said in a line", async () => {
  const db = await fileWithThreads();
  for (const command of [["export"], ["threads", "--json"], ["tail", "t", "--until-end"]]) {
    const words = [process.execPath, CLI, ...command, "--db", db].map((word) => `'${word}'`);
    const { status, stderr } = spawnSync("sh", ["-c", `${words.join(" ")} > /dev/full`]);
    expect(status).toBe(1);
    expect(stderr.toString().trim().split("\n")).toEqual([
      expect.stringMatching(/^durable-agent-runner: the output could not be written: ENOSPC/),
    ]);
  }
});
