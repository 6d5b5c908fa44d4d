import "../support/leak-guard.ts";
import { Client } from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import type { PostgresAgentRunnerOptions } from "../../src/postgres.ts";
import { keyValues } from "../../src/store/postgres/row-writes.ts";
import { statementsOf } from "../../src/store/postgres/statements.ts";
import { delta } from "../support/message-events.ts";
import { replayOf, runIdsIn, spokenIn } from "../support/open-runner.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { openHost, runInTheMiddle } from "../support/postgres-hosts.ts";

/**
 * A standby that is promoted may lack what was committed last. A later run then has the epoch of a run that is lost,
 * and that the hosts still know.
 */
let server: PostgresServer;
let url: string;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const SCHEMA = "durable_agent_runner";

async function openOnNewDatabase(options: Partial<PostgresAgentRunnerOptions> = {}) {
  url = await server.newDatabase();
  return openHost(url, options);
}

/** The server of before the first run of the thread. */
async function loseRuns({ exceptJournal = false } = {}): Promise<void> {
  const tables = ["runs", "messages", "views", "thread_facts", "thread_list", "thread_words"];
  if (!exceptJournal) tables.push("journal");
  for (const table of tables) await server.query(`DELETE FROM ${SCHEMA}.${table}`, url);
  await server.query(
    `UPDATE ${SCHEMA}.threads SET epoch = 0, runs = 0, run_id = NULL, owner_id = NULL,
       claim_number = NULL`,
    url,
  );
}

test("a long run is shown as it is stored, and not as the lost run of its epoch", async () => {
  const runner = await openOnNewDatabase();
  const lost = await runInTheMiddle(runner, {
    runId: "lost",
    messageId: "m-lost",
    words: ["lost ".repeat(200_000)],
  });
  await lost.end();
  expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["lost"]);
  await loseRuns();
  const stored = "stored ".repeat(200_000);
  const next = await runInTheMiddle(runner, {
    runId: "next",
    messageId: "m-next",
    words: [stored],
  });
  expect((await next.end()).at(-1)?.type).toBe("RUN_FINISHED");
  const replay = await replayOf(runner, "t");
  expect(runIdsIn(replay)).toEqual(["next"]);
  expect(spokenIn(replay) === stored).toBe(true);
});

test("nothing of a lost run that was read ahead is stored with the next run of its epoch", async () => {
  const runner = await openOnNewDatabase();
  const lost = await runInTheMiddle(runner, {
    runId: "lost",
    messageId: "m-lost",
    words: Array(6).fill("lost ".repeat(60_000)),
  });
  await loseRuns({ exceptJournal: true });
  lost.agent.emit(delta("m-lost", "more"));
  expect((await lost.run.done).at(-1)).toMatchObject({ type: "RUN_ERROR", code: "LEASE_LOST" });
  await runner.flush();
  await loseRuns();
  const next = await runInTheMiddle(runner, {
    runId: "next",
    messageId: "m-next",
    words: ["a ", "b ", "c "],
  });
  expect((await next.end()).at(-1)?.type).toBe("RUN_FINISHED");
  const replay = await replayOf(runner, "t");
  expect(runIdsIn(replay)).toEqual(["next"]);
  expect(spokenIn(replay)).toBe("a b c ");
});

test("the journal of a run stays when the journal of the lost run of its epoch is deleted", async () => {
  const runner = await openOnNewDatabase();
  const lost = await runInTheMiddle(runner, {
    runId: "lost",
    messageId: "m-lost",
    words: ["lost "],
  });
  await lost.end();
  await loseRuns();
  const next = await runInTheMiddle(runner, {
    runId: "next",
    messageId: "m-next",
    words: ["a ", "b "],
  });
  // As hosts do some time after the end of a run.
  const { deleteJournals } = statementsOf({ schema: SCHEMA, answerTimeoutMs: 1000 });
  const client = new Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  const [{ epoch }] = await server.query(`SELECT epoch FROM ${SCHEMA}.threads`, url);
  await client.query(deleteJournals.text, [...keyValues([{ threadId: "t", epoch }])]);
  expect((await next.end()).at(-1)?.type).toBe("RUN_FINISHED");
  expect(spokenIn(await replayOf(runner, "t"))).toBe("a b ");
});
