import "../support/leak-guard.ts";
import { Client } from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { Connection } from "../../src/store/postgres/connection.ts";
import { replayOf, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { openHost } from "../support/postgres-hosts.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { stall } from "../support/stall.ts";

/** A main thread that is busy or suspended for longer than a deadline, while the server has answered. */
let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const ANSWER_MS = 500;
const STALL_MS = 800;

/** Stalls this thread when the driver has sent the first statement that has this text. */
function stallBehind(text: string): { readonly hasStalled: () => boolean } {
  const { query } = Client.prototype;
  let hasStalled = false;
  // biome-ignore lint/suspicious/noExplicitAny: the driver has many signatures.
  Client.prototype.query = function (this: Client, ...args: any): any {
    const answer = Reflect.apply(query, this, args);
    if (!hasStalled && JSON.stringify(args[0]).includes(text)) {
      hasStalled = true;
      process.nextTick(() => process.nextTick(stall, STALL_MS));
    }
    return answer;
  };
  onTestFinished(() => {
    Client.prototype.query = query;
  });
  return { hasStalled: () => hasStalled };
}

function connectionTo(connectionString: string): Connection {
  const connection = new Connection({
    connectionString,
    answerTimeoutMs: ANSWER_MS,
    prepare: true,
  });
  onTestFinished(() => connection.end());
  return connection;
}

test("an answer that waits to be read is not late", async () => {
  const connection = connectionTo(await server.newDatabase());
  const ask = (text: string) => connection.use((send) => send({ name: "", text }));
  await ask("SELECT 1");
  const answer = ask("SELECT repeat('x', 8000000) AS long");
  await new Promise((resolve) => process.nextTick(resolve));
  stall(STALL_MS);
  expect((await answer).rows[0].long).toHaveLength(8_000_000);
  const late = ask("SELECT pg_sleep(5)");
  await expect(late).rejects.toMatchObject({ code: "CONNECTION_LOST" });
}, 20_000);

test("a connection is made although the process sleeps meanwhile", async () => {
  const connection = connectionTo(await server.newDatabase());
  const answer = connection.use((send) => send({ name: "", text: "SELECT 1 AS one" }));
  await import("pg");
  await new Promise((resolve) => setTimeout(resolve, 1));
  stall(STALL_MS);
  expect((await answer).rows).toEqual([{ one: 1 }]);
});

test.each([
  ["in a transaction, which the server ends", "dar_keep_thread"],
  ["when the server has committed", "COMMIT"],
])("a fork is made although the process sleeps %s", async (_when, text) => {
  const runner = openHost(await server.newDatabase(), { answerTimeoutMs: ANSWER_MS });
  await runToEnd(runner, "t", "r", answeringAgent());
  const { hasStalled } = stallBehind(text);
  await runner.threads.fork("t", { newThreadId: "copy" });
  expect(hasStalled()).toBe(true);
  expect(runIdsIn(await replayOf(runner, "copy"))).toEqual(["r"]);
});

test("a heartbeat and a run are not disturbed by a sleep of the process", async () => {
  const runner = openHost(await server.newDatabase(), { answerTimeoutMs: ANSWER_MS });
  await runner.ready();
  const { hasStalled } = stallBehind("COMMIT");
  const events = await runToEnd(runner, "t", "r", answeringAgent());
  expect(hasStalled()).toBe(true);
  expect(events.at(-1)?.type).toBe("RUN_FINISHED");
  expect(runner.stats().lastError).toBe(null);
});
