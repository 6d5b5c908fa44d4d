import "../support/leak-guard.ts";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { PostgresAgentRunner } from "../../src/postgres.ts";
import { collectingLogger, replayOf, runToEnd, spokenIn } from "../support/open-runner.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { answeringAgent } from "../support/scripted-agent.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

async function open() {
  const connectionString = await server.newDatabase();
  const runner = new PostgresAgentRunner({ connectionString, logger: collectingLogger() });
  onTestFinished(() => runner.close().catch(() => undefined));
  return runner;
}

test("a run on a thread whose id is too long for an index is refused, and its neighbours are stored", async () => {
  const runner = await open();
  const long = "x".repeat(1001);
  const agent = answeringAgent();
  const [refused, ...others] = await Promise.all([
    runToEnd(runner, long, "r", agent),
    runToEnd(runner, "t", "r", answeringAgent()),
    runToEnd(runner, "y".repeat(1000), "r", answeringAgent()),
  ]);
  expect(refused).toMatchObject([{ type: "RUN_ERROR", code: "THREAD_ID_TOO_LONG" }]);
  for (const events of others) expect(events.at(-1)?.type).toBe("RUN_FINISHED");
  expect(await runner.isRunning({ threadId: long })).toBe(false);
  expect(await replayOf(runner, long)).toEqual([]);
  expect(spokenIn(await replayOf(runner, "y".repeat(1000)))).toBe("answer to r");
  const fork = runner.threads.fork("t", { newThreadId: long });
  await expect(fork).rejects.toMatchObject({ code: "THREAD_ID_TOO_LONG" });
});

test("a character counts as the bytes that the database stores", async () => {
  const runner = await open();
  for (const id of ["ä".repeat(501), "\0".repeat(167)]) {
    const events = await runToEnd(runner, id, "r", answeringAgent());
    expect(events).toMatchObject([{ type: "RUN_ERROR", code: "THREAD_ID_TOO_LONG" }]);
  }
  const events = await runToEnd(runner, "ä".repeat(500), "r", answeringAgent());
  expect(events.at(-1)?.type).toBe("RUN_FINISHED");
});
