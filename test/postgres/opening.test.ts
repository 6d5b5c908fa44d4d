import "../support/leak-guard.ts";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { PostgresAgentRunner, type PostgresAgentRunnerOptions } from "../../src/postgres.ts";
import { collectingLogger, replayOf, runToEnd, spokenIn } from "../support/open-runner.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { answeringAgent } from "../support/scripted-agent.ts";

let server: PostgresServer;
let database: string;
beforeAll(async () => {
  server = await startPostgres();
  database = await server.newDatabase();
});
afterAll(() => server.stop());

function open(options: PostgresAgentRunnerOptions) {
  const runner = new PostgresAgentRunner({ logger: collectingLogger(), ...options });
  onTestFinished(() => runner.close().catch(() => undefined));
  return runner;
}

const changed = (parts: Partial<URL>): string => Object.assign(new URL(database), parts).href;

describe("options", () => {
  const wrong: readonly (readonly [name: string, value: unknown])[] = [
    ["connectionString", "localhost/db"],
    ["connectionString", "mysql://u:hidden@host/db"],
    ["connectionString", 5],
    ["connectionString", undefined],
    ["listenUrl", "hidden"],
    ["schema", "Upper"],
    ["schema", "x; DROP TABLE runs"],
    ["schema", "x".repeat(51)],
    ["prepare", "yes"],
    ["answerTimeoutMs", 0],
    ["leaseMs", 99],
    ["lingerMs", -1],
  ];

  test.each(wrong)("%s: %j is a TypeError that shows no password", (name, value) => {
    const options = { connectionString: database, [name]: value };
    const make = () => new PostgresAgentRunner(options as PostgresAgentRunnerOptions);
    expect(make).toThrow(TypeError);
    expect(make).toThrow(new RegExp(`PostgresAgentRunner: expected ${name} to be .+, got .+`));
    expect(make).not.toThrow(/hidden/);
  });

  test.each(["dbPath", "durability", "readers"])("%s is not one of them", (name) => {
    const options = { connectionString: database, [name]: 1 };
    const make = () => new PostgresAgentRunner(options as PostgresAgentRunnerOptions);
    expect(make).toThrow(/expected one of the options .+, got/);
  });
});

describe("a database that cannot be opened is reported with a code", () => {
  const cases: readonly (readonly [what: string, url: () => string, code: string, says: RegExp])[] =
    [
      ["a wrong password", () => changed({ password: "x" }), "CANNOT_OPEN", /passw/],
      ["no such user", () => changed({ username: "x" }), "CANNOT_OPEN", /passw/],
      ["no such database", () => changed({ pathname: "/no_such" }), "CANNOT_OPEN", /no_such/],
      ["no server", () => changed({ port: "1" }), "CANNOT_CONNECT", /cannot connect to PostgreSQL/],
    ];

  test.each(cases)("%s", async (_, url, code, says) => {
    const runner = open({ connectionString: url() });
    await expect(runner.ready()).rejects.toMatchObject({
      code,
      message: expect.stringMatching(says),
    });
    const agent = answeringAgent();
    if (code !== "CANNOT_OPEN") return;
    expect(await runToEnd(runner, "t", "r", agent)).toMatchObject([{ type: "RUN_ERROR", code }]);
    expect(await replayOf(runner, "t")).toMatchObject([{ type: "RUN_ERROR", code }]);
  });

  test("a user without the privilege to make the schema", async () => {
    await server.query("CREATE ROLE guest LOGIN PASSWORD 'guest'", database);
    onTestFinished(async () => void (await server.query("DROP ROLE guest", database)));
    const url = changed({ username: "guest", password: "guest" });
    const runner = open({ connectionString: url, schema: "not_there" });
    await expect(runner.ready()).rejects.toMatchObject({
      code: "CANNOT_OPEN",
      message: expect.stringMatching(/permission denied/),
    });
  });

  test("a schema of a newer version, which stays as it is", async () => {
    const first = open({ connectionString: database, schema: "newer" });
    await first.ready();
    await first.close();
    await server.query("INSERT INTO newer.schema_version VALUES (99)", database);
    const runner = open({ connectionString: database, schema: "newer" });
    await expect(runner.ready()).rejects.toMatchObject({ code: "SCHEMA_TOO_NEW" });
    const rows = await server.query(
      "SELECT max(version)::int AS version FROM newer.schema_version",
      database,
    );
    expect(rows).toEqual([{ version: 99 }]);
  });
});

test("without prepared statements, as behind a pooler, all is the same", async () => {
  const runner = open({ connectionString: database, schema: "unprepared", prepare: false });
  await runToEnd(runner, "t", "r", answeringAgent());
  expect(spokenIn(await replayOf(runner, "t"))).toBe("answer to r");
});

test("ids with NUL, backslashes and quotes are kept as they are", async () => {
  const runner = open({ connectionString: database, schema: "strange_ids" });
  const threads = ["a\0b", "a\\0b", "a\\u0000b", "'; DROP TABLE runs; --"];
  for (const threadId of threads) {
    await runToEnd(runner, threadId, `run of ${threadId}`, answeringAgent());
  }
  for (const threadId of threads) {
    const replay = await replayOf(runner, threadId);
    expect(replay[0]).toMatchObject({ threadId, runId: `run of ${threadId}` });
    expect(replay.filter(({ type }) => type === "RUN_STARTED")).toHaveLength(1);
  }
});
