import "../support/leak-guard.ts";
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { SqliteAgentRunner, type SqliteAgentRunnerOptions } from "../../src/index.ts";
import { resolveOptions } from "../../src/runner/options.ts";
import { isConversation } from "../../src/runner/store-run.ts";
import { spawnChild } from "../support/child-process.ts";
import { openRunner, replayOf, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase, tempDirectory } from "../support/temp-file.ts";

const PRODUCTION = join(import.meta.dirname, "children/production.ts");

function make(options: unknown): () => SqliteAgentRunner {
  return () => new SqliteAgentRunner(options as SqliteAgentRunnerOptions);
}

describe("a wrong option is a TypeError that says what was expected and what was got", () => {
  const wrong: Readonly<Record<keyof SqliteAgentRunnerOptions, readonly unknown[]>> = {
    dbPath: ["", "  ", 5, null, "a\0b", {}],
    onConcurrentRun: ["", "wait", true, null, ["throw"]],
    durability: ["", "FULL", "off", 1, null],
    lingerMs: [-1, 1.5, Number.NaN, "50", null, 60_001],
    maxBatchBytes: [0, -1, 1.5, Number.POSITIVE_INFINITY, "1", 2 ** 30 + 1],
    maxPendingBytes: [0, -1, 1.5, Number.POSITIVE_INFINITY, "1"],
    readers: [0, -1, 1.5, 65, "1", null],
    leaseMs: [0, 99, -1, Number.POSITIVE_INFINITY, 2 ** 31],
    stopTimeoutMs: [-1, 1.5, "10s", null, 2 ** 31],
    closeTimeoutMs: [-1, 1.5, Number.NaN, null, 2 ** 31],
    storeInput: ["", "all", true, null],
    interruptedNote: ["", "  ", "\ud800", true, null, {}],
    inputMessages: ["", "full", true, null],
    replayRuns: [0, -1, 1.5, "20", null],
    resources: ["", "optional ", true, null],
    retention: [
      true,
      null,
      [],
      {},
      { maxAgeMs: -1 },
      { maxAge: 5 },
      { maxThreads: "5" },
      { everyMs: 5 },
    ],
    titleFor: [true, "always", null, {}],
    storeRun: [true, "always", null, {}],
    onInterrupted: [true, "rerun", null, {}],
    maxReruns: [0, -1, 1.5, "3", null, 1001],
    storeRawEvents: ["true", 0, null],
    logger: [null, {}, "stderr", { info() {}, warn() {}, error() {} }, []],
  };
  const cases = Object.entries(wrong).flatMap(([name, values]) =>
    values.map((value) => [name, value] as const),
  );

  test.each(cases)("%s: %j", (name, value) => {
    expect(make({ [name]: value })).toThrow(TypeError);
    expect(make({ [name]: value })).toThrow(new RegExp(`expected ${name} to be .+, got .+`));
  });

  test.each([
    ["file:threads.db", 'write the path alone, "threads.db"'],
    ["file:///data/threads.db?mode=rwc", 'write the path alone, "/data/threads.db"'],
    ["FILE:threads.db", '"./FILE:threads.db" for a file of such a name'],
    ["file::memory:?cache=shared", 'write the path alone, ":memory:"'],
    ["sqlite://data/threads.db", "a URL is not taken"],
    ["sqlite:threads.db", 'write the path alone, "threads.db"'],
    ["libsql://example.turso.io", "SQLite keeps its data in a file of this machine"],
    ["postgres://user@host/db", "SQLite keeps its data in a file of this machine"],
    ["https://example.com/threads.db", "SQLite keeps its data in a file of this machine"],
    ["./data/", "name a file, not a directory"],
    [":memory:?cache=shared", 'write ":memory:"'],
    [":MEMORY:", 'write ":memory:"'],
    [" :memory: ", 'write ":memory:"'],
    ["~/threads.db", 'only a shell knows "~"'],
    ["~", 'only a shell knows "~"'],
    ["~ada/threads.db", 'only a shell knows "~"'],
  ])("dbPath %j: the error says what to write instead", (dbPath, advice) => {
    expect(make({ dbPath })).toThrow(TypeError);
    expect(make({ dbPath })).toThrow(`got ${JSON.stringify(dbPath)}; `);
    expect(make({ dbPath })).toThrow(advice);
  });

  test("dbPath as a URL object: the error says what to write around it", () => {
    const dbPath = new URL("file:///data/threads.db") as unknown as string;
    expect(make({ dbPath })).toThrow(
      /expected dbPath to be .*, got an object; write fileURLToPath/,
    );
  });

  test.each(["C:\\data\\threads.db", "c:/threads.db", "./file:threads.db", "/data/a:b.db", "~.db"])(
    "dbPath %j is a path",
    (dbPath) => {
      expect(resolveOptions({ dbPath }).dbPath).toBe(dbPath);
    },
  );

  test("the error shows the given value in readable form", () => {
    expect(make({ lingerMs: "50" })).toThrow('got "50"');
    expect(make({ lingerMs: -1 })).toThrow("got -1");
    expect(make({ logger: [] })).toThrow("got an array");
    expect(make({ dbPath: {} })).toThrow("got an object");
    expect(make({ readers: null })).toThrow("got null");
    expect(make({ dbPath: () => "x" })).toThrow("got a function");
  });

  test("an unknown option is named, together with the known options", () => {
    expect(make({ dbpath: "x" })).toThrow(TypeError);
    expect(make({ dbpath: "x" })).toThrow(/expected one of the options .*dbPath.*, got "dbpath"/);
    expect(make({ constructor: 1 })).toThrow('got "constructor"');
  });

  test.each([[null], ["file.db"], [5], [[]]])("options that are not an object: %j", (options) => {
    expect(make(options)).toThrow(TypeError);
    expect(make(options)).toThrow(/expected an object of options, got /);
  });

  test("a wrong option starts no thread and creates no file", () => {
    const dbPath = tempDatabase();
    expect(make({ dbPath, lingerMs: -1 })).toThrow(TypeError);
    expect(existsSync(dbPath)).toBe(false);
  });
});

describe("correct options", () => {
  test("are all optional, and the defaults are those of the documentation", () => {
    const defaults = {
      dbPath: ":memory:",
      onConcurrentRun: "throw",
      durability: "full",
      lingerMs: 50,
      maxBatchBytes: 1024 * 1024,
      maxReruns: 3,
      onInterrupted: false,
      maxPendingBytes: 64 * 1024 * 1024,
      readers: 1,
      leaseMs: 15_000,
      stopTimeoutMs: 10_000,
      closeTimeoutMs: 6000,
      storeInput: "new-messages",
      inputMessages: "additive",
      resources: "optional",
      replayRuns: Number.MAX_SAFE_INTEGER,
      interruptedNote: false,
      storeRawEvents: true,
      retention: false,
      titleFor: false,
    };
    for (const options of [undefined, {}, { dbPath: undefined, lingerMs: undefined }]) {
      const { logger, storeRun, ...rest } = resolveOptions(options);
      expect(rest).toEqual(defaults);
      expect(logger).toHaveProperty("error");
      expect(storeRun).toBe(isConversation);
    }
  });

  test("a runner can be made without options", async () => {
    const runner = new SqliteAgentRunner();
    expect((await runToEnd(runner, "t", "r", answeringAgent())).at(-1)?.type).toBe("RUN_FINISHED");
    await runner.close();
  });

  const right: readonly SqliteAgentRunnerOptions[] = [
    { durability: "normal" },
    { lingerMs: 0 },
    { retention: { maxAgeMs: 1, maxRunsPerThread: 1, maxThreads: 0, maxBytes: 0, keepLatest: 0 } },
    { retention: { maxAgeMs: 1, archivedOnly: true, everyMs: 1 } },
    { maxBatchBytes: 1 },
    { readers: 3 },
    { leaseMs: 100 },
    { storeRawEvents: false },
    { storeInput: "full" },
    { onConcurrentRun: "supersede", stopTimeoutMs: 0, closeTimeoutMs: 0 },
  ];

  test.each(right)("a run and its replay work with %j", async (options) => {
    const runner = openRunner({ dbPath: tempDatabase(), ...options });
    await runToEnd(runner, "t", "r1", answeringAgent());
    const events = await runToEnd(runner, "t", "r2", answeringAgent());
    expect(events.at(-1)?.type).toBe("RUN_FINISHED");
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r1", "r2"]);
  });

  test("a logger may be a class instance with inherited methods", () => {
    class Lines {
      debug(): void {}
      info(): void {}
      warn(): void {}
      error(): void {}
    }
    expect(resolveOptions({ logger: new Lines() }).logger).toBeInstanceOf(Lines);
  });
});

describe("the database file", () => {
  test("is created with its directories, and only its owner can read it", async () => {
    const dbPath = join(tempDirectory(), "not/there/yet/threads.db");
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "r", answeringAgent());
    for (const name of readdirSync(dirname(dbPath))) {
      expect([name, statSync(join(dirname(dbPath), name)).mode & 0o777]).toEqual([name, 0o600]);
    }
    expect(readdirSync(dirname(dbPath))).toContain("threads.db-wal");
  });

  test("may have a name with blanks, quotes, Unicode, or like a URI", async () => {
    const directory = tempDirectory();
    for (const name of [
      "with blanks.db",
      `"it's".db`,
      "поток 🧵.db",
      "file:x?mode=memory",
      "%41#.db",
    ]) {
      const runner = openRunner({ dbPath: join(directory, name) });
      await runToEnd(runner, "t", "r", answeringAgent());
      await runner.close();
      expect(readdirSync(directory)).toContain(name);
    }
  });

  test("has a relative path resolved in the directory in which the runner was made", async () => {
    const directory = tempDirectory();
    const before = process.cwd();
    let runner: SqliteAgentRunner;
    try {
      process.chdir(directory);
      runner = openRunner({ dbPath: "relative.db" });
    } finally {
      process.chdir(before);
    }
    await runToEnd(runner, "t", "r", answeringAgent());
    expect(readdirSync(directory)).toContain("relative.db");
  });
});

describe("a warning for a database in memory", () => {
  const warningsOf = async (dbPath: string | undefined, nodeEnv: string) => {
    const env = { ...process.env, NODE_ENV: nodeEnv };
    const args = dbPath === undefined ? [] : [dbPath];
    const child = spawnChild(process.execPath, [PRODUCTION, ...args], { env });
    const { code, stderr } = await child.exited;
    expect(code).toBe(0);
    return stderr.match(/DURABLE_AGENT_RUNNER_MEMORY/g)?.length ?? 0;
  };

  test("comes once per process with NODE_ENV=production", async () => {
    expect(await warningsOf(":memory:", "production")).toBe(1);
  });

  test("comes in any environment when no dbPath was given", async () => {
    expect(await warningsOf(undefined, "development")).toBe(1);
  });

  test("does not come for an explicit ':memory:' outside of production, nor for a file", async () => {
    expect(await warningsOf(tempDatabase(), "production")).toBe(0);
    expect(await warningsOf(":memory:", "development")).toBe(0);
  });
});
