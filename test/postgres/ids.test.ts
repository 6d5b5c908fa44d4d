import "../support/leak-guard.ts";
import { randomBytes } from "node:crypto";
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

test("a run on a thread whose id no index can hold is refused, and its neighbours are stored", async () => {
  const runner = await open();
  // Ids that repeat themselves are compressed. These do not.
  const [long, rather] = [4000, 2400].map((bytes) =>
    randomBytes((bytes * 3) / 4).toString("base64"),
  );
  const fitting = ["x".repeat(10_000), randomBytes(750).toString("base64")];
  const runs = [long, rather, ...fitting].map((id = "") =>
    runToEnd(runner, id, "r", answeringAgent()),
  );
  const [first, second, ...others] = await Promise.all(runs);
  expect(first).toMatchObject([{ type: "RUN_ERROR", code: "THREAD_ID_TOO_LONG" }]);
  // Whether this one fits depends on what stands beside it in an index.
  expect(["RUN_FINISHED", "RUN_ERROR"]).toContain(second?.at(-1)?.type);
  for (const events of others) expect(events.at(-1)?.type).toBe("RUN_FINISHED");
  for (const id of fitting) expect(spokenIn(await replayOf(runner, id))).toBe("answer to r");
  expect(await runner.isRunning({ threadId: String(long) })).toBe(false);
  expect(await replayOf(runner, String(long))).toEqual([]);
  const fork = runner.threads.fork(String(fitting[1]), { newThreadId: String(long) });
  await expect(fork).rejects.toMatchObject({ code: "THREAD_ID_TOO_LONG" });
});
