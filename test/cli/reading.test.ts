import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { cli, closeAfterFirstLine, fileWithThreads, startCli } from "../support/cli.ts";
import { tempDatabase } from "../support/temp-file.ts";

describe("threads", () => {
  test("lists the threads of all resources as a table, without control characters", async () => {
    const db = await fileWithThreads();
    const { code, lines } = await cli(["threads", "--db", db]);
    expect(code).toBe(0);
    expect(lines).toEqual([
      expect.stringMatching(/^THREAD +TITLE .*RESOURCE +RUNS/),
      expect.stringMatching(/^u .* ann +1 /),
      expect.stringMatching(/^t +About \\u001b\[31mwhales .* 2 .*finished$/),
    ]);
    expect(lines.join("")).not.toContain("\u001b");
  });

  test("takes the file from the environment, and prints JSON, one object a line", async () => {
    const db = await fileWithThreads();
    const { lines } = await cli(["threads", "--json"], { env: { DB_PATH: db } });
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { id: "u", resourceId: "ann", runs: 1 },
      { id: "t", resourceId: null, runs: 2, isTitled: true },
    ]);
  });

  test("filters, and says when there are more", async () => {
    const db = await fileWithThreads();
    const ids = async (...args: string[]) => {
      const { lines } = await cli(["threads", "--db", db, "--json", ...args]);
      return lines.map((line) => (JSON.parse(line) as { id: string }).id);
    };
    expect(await ids("--resource", "ann")).toEqual(["u"]);
    expect(await ids("--running")).toEqual([]);
    expect(await ids("--archived")).toEqual([]);
    expect(await ids("--active", "--order", "created")).toEqual(["u", "t"]);
    const { lines, stderr } = await cli(["threads", "--db", db, "--limit", "1"]);
    expect(lines).toHaveLength(2);
    expect(stderr).toContain("--all");
  });

  test("ends well when nobody reads on", async () => {
    const db = await fileWithThreads();
    const child = startCli(["show", "t", "--events", "--db", db]);
    expect(await closeAfterFirstLine(child)).toBe(0);
    expect((await child.exited).stderr).toBe("");
  });
});

describe("show", () => {
  test("shows a thread as a conversation", async () => {
    const db = await fileWithThreads();
    const { code, lines } = await cli(["show", "t", "--db", db]);
    expect(code).toBe(0);
    expect(lines).toContainEqual(expect.stringMatching(/^runs +2 runs, /));
    expect(lines.filter((line) => line.startsWith("assistant: "))).toHaveLength(2);
  });

  test("gives messages and state as JSON, and the runs and events one a line", async () => {
    const db = await fileWithThreads();
    const whole = await cli(["show", "u", "--json", "--db", db]);
    expect(JSON.parse(whole.lines[0] ?? "")).toMatchObject({
      thread: { id: "u" },
      messages: expect.arrayContaining([expect.objectContaining({ role: "assistant" })]),
      state: {},
    });
    const runs = await cli(["show", "t", "--runs", "--json", "--db", db]);
    expect(runs.lines.map((line) => JSON.parse(line))).toMatchObject([
      { runId: "r1", outcome: "finished" },
      { runId: "r2" },
    ]);
    const events = await cli(["show", "u", "--events", "--db", db]);
    expect(JSON.parse(events.lines.at(-1) ?? "")).toMatchObject({ type: "RUN_FINISHED" });
  });

  test("knows no thread of another resource", async () => {
    const db = await fileWithThreads();
    const { code, lines, stderr } = await cli(["show", "t", "--resource", "ann", "--db", db]);
    expect({ code, lines }).toEqual({ code: 3, lines: [] });
    expect(stderr).toContain('there is no thread "t"');
  });
});

test("stats counts threads, runs and bytes", async () => {
  const db = await fileWithThreads();
  const { lines } = await cli(["stats", "--json", "--db", db]);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    threads: 2,
    runs: 3,
    running: 0,
    file: { runners: 0, shrinks: true },
  });
  const { lines: table } = await cli(["stats", "--db", db]);
  expect(table).toContainEqual(expect.stringMatching(/^runs +3$/));
});

describe("what is wrong is said, with an exit code", () => {
  test.each([
    ["an unknown option", ["threads", "--bad"], 2, "unknown option"],
    ["an unknown command", ["thread"], 2, "unknown command"],
    ["no number", ["threads", "--limit", "many"], 2, "whole number"],
    ["no duration", ["purge", "--max-age", "90"], 2, "90d"],
    ["a purge without limits", ["purge", "--yes"], 2, "--max-age"],
    ["an erasure of nothing", ["erase", "--yes"], 2, "--thread or --resource"],
    ["a file in memory", ["threads", "--db", ":memory:"], 2, "--db"],
    ["options that exclude each other", ["threads", "--archived", "--active"], 2, "--active"],
  ])("%s", async (_what, args, expected, says) => {
    const { code, lines, stderr } = await cli(args);
    expect({ code, lines }).toEqual({ code: expected, lines: [] });
    expect(stderr).toContain(says);
    expect(stderr).not.toContain("    at ");
  });

  test("a file that is not there is not made", async () => {
    const db = tempDatabase();
    const { code, stderr } = await cli(["threads", "--db", db]);
    expect(code).toBe(3);
    expect(stderr).toContain(`there is no file ${db}`);
    expect(existsSync(db)).toBe(false);
  });

  test("a file that is no database", async () => {
    const { code, stderr } = await cli(["threads", "--db", import.meta.filename]);
    expect(code).toBe(1);
    expect(stderr).toContain(`cannot open ${import.meta.filename}: `);
    expect(stderr).toContain("NOT_A_DATABASE");
  });

  test("a directory", async () => {
    const { code, stderr } = await cli(["threads", "--db", import.meta.dirname]);
    expect(code).toBe(1);
    expect(stderr).toContain(`cannot open ${import.meta.dirname}: it is a directory`);
  });

  test("an import of no file makes no database", async () => {
    const db = tempDatabase();
    const { code, stderr } = await cli(["import", "no-such.ndjson", "--db", db]);
    expect({ code, isThere: existsSync(db) }).toEqual({ code: 3, isThere: false });
    expect(stderr).toContain("there is no file no-such.ndjson");
  });

  test("the URL of another database is not repeated", async () => {
    const env = { DATABASE_URL: "mysql://user:hidden@127.0.0.1:1/db" };
    const { code, stderr } = await cli(["threads"], { env });
    expect(code).toBe(2);
    expect(stderr).toContain(
      'DATABASE_URL, or DB_PATH) has to name a file or a "postgres://…" URL',
    );
    expect(stderr).not.toContain("hidden");
  });

  test("the password of a server is not shown", async () => {
    const url = "postgres://user:hidden@127.0.0.1:1/db";
    const { code, stderr } = await cli(["threads", "--db", url]);
    expect(code).toBe(1);
    expect(stderr).toContain("CANNOT_CONNECT");
    expect(stderr).not.toContain("hidden");
  });
});

test("--help lists the commands and the exit codes", async () => {
  const { code, lines } = await cli(["--help"]);
  expect(code).toBe(0);
  expect(lines.join("\n")).toContain("Exit codes:");
  const { lines: own } = await cli(["purge", "--help"]);
  expect(own.join("\n")).toContain("$ durable-agent-runner purge");
});
