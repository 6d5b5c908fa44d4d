import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { withResource } from "../../src/index.ts";
import { PostgresAgentRunner } from "../../src/postgres.ts";
import { everyCommand } from "../cli/every-command.ts";
import { nextLine } from "../support/child-process.ts";
import { cli, startCli } from "../support/cli.ts";
import { collectingLogger, runToEnd, watch } from "../support/open-runner.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { answeringAgent, heldAgent, inputOf } from "../support/scripted-agent.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

test("threads, show, stats, tail and stop work beside a live server", async () => {
  const url = await server.newDatabase();
  const runner = new PostgresAgentRunner({ connectionString: url, logger: collectingLogger() });
  onTestFinished(() => runner.close().catch(() => undefined));
  await withResource("ann", () => runToEnd(runner, "u", "r1", answeringAgent()));
  const agent = heldAgent();
  const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r2") }));
  await run.until(({ type }) => type === "RUN_STARTED");

  const env = { DATABASE_URL: url };
  const { lines } = await cli(["threads", "--json"], { env });
  expect(lines.map((line) => (JSON.parse(line) as { id: string }).id).sort()).toEqual(["t", "u"]);
  const shown = await cli(["show", "u", "--db", url]);
  expect(shown.lines).toContainEqual(expect.stringMatching(/^assistant: /));
  const stats = await cli(["stats", "--json"], { env });
  expect(JSON.parse(stats.lines[0] ?? "")).toMatchObject({ threads: 2, running: 1, file: null });
  expect(stats.lines[0]).not.toContain("secret");
  const tail = startCli(["tail", "t", "--until-end", "--json", "--db", url]);
  expect(JSON.parse(await nextLine(tail))).toMatchObject({ type: "RUN_STARTED", runId: "r2" });
  const stopped = await cli(["stop", "t", "--json"], { env });
  expect(JSON.parse(stopped.lines[0] ?? "")).toEqual({ threadId: "t", stopped: true });
  expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  expect(await tail.exited).toEqual({ code: 0, stderr: "" });
  expect((await cli(["check"], { env })).code).toBe(2);
  const backup = await cli(["backup", "/tmp/none.db"], { env });
  expect(backup.stderr).toContain("pg_dump");
});

test("each command works beside a live server, or says what to use instead", async () => {
  const url = await server.newDatabase();
  const runner = new PostgresAgentRunner({ connectionString: url, logger: collectingLogger() });
  onTestFinished(() => runner.close().catch(() => undefined));
  await withResource("ann", () => runToEnd(runner, "u", "r1", answeringAgent()));
  await runToEnd(runner, "t", "r2", answeringAgent());
  const agent = heldAgent();
  const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r3") }));
  await agent.halfway;
  const { codes, failures, files } = await everyCommand(url);
  expect(codes).toEqual({
    ...{ threads: 0, show: 0, tail: 0, stats: 0, check: 2, migrate: 0, backup: 1, fork: 0 },
    ...{ export: 0, "export --fixture": 0, "export --version-1": 0, import: 0 },
    ...{ purge: 0, erase: 0, stop: 0 },
  });
  expect(failures).toEqual({
    check: expect.stringContaining("check is for SQLite files"),
    backup: expect.stringContaining("pg_dump"),
  });
  expect(files).toEqual(["u.ndjson", "fixture.ndjson", "version-1.db"]);
  expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
});
