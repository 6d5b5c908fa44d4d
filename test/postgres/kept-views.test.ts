import "../support/leak-guard.ts";
import { Client } from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { PostgresAgentRunner } from "../../src/postgres.ts";
import { collectingLogger, replayOf, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { newSchema } from "../support/postgres-store.ts";
import { answeringAgent } from "../support/scripted-agent.ts";

const RUNS = 1000;

let server: PostgresServer;
let url: string;
beforeAll(async () => {
  server = await startPostgres();
  url = await server.newDatabase();
});
afterAll(() => server.stop());

/** A thread whose replays fold older runs into a view that is worth keeping. */
async function longThread() {
  const schema = newSchema();
  const runner = new PostgresAgentRunner({
    ...{ connectionString: url, schema, logger: collectingLogger() },
    replayRuns: 5,
  });
  onTestFinished(() => runner.close());
  await runToEnd(runner, "t", "r1", answeringAgent());
  await server.query(
    `INSERT INTO ${schema}.runs (thread_id, epoch, run_id, finished_at, input, events)
     SELECT thread_id, epoch + at, 'copy-' || at, finished_at, input,
       replace(events, '"messageId":"', '"messageId":"copy-' || at || '-')
     FROM ${schema}.runs CROSS JOIN generate_series(1, ${RUNS}) AS at`,
    url,
  );
  await server.query(
    `UPDATE ${schema}.threads SET runs = runs + ${RUNS}, epoch = epoch + ${RUNS}`,
    url,
  );
  const views = async (): Promise<number> =>
    (await server.query(`SELECT count(*)::int4 AS n FROM ${schema}.views`, url))[0].n;
  return { schema, runner, views };
}

test("the view that a replay has made is kept", async () => {
  const { runner, views } = await longThread();
  await replayOf(runner, "t");
  await eventually(async () => (await views()) > 0);
  expect(await views()).toBe(1);
});

test("no view is kept while a removal holds the thread: its runs may be gone", async () => {
  const { schema, runner, views } = await longThread();
  const removal = new Client({ connectionString: url });
  await removal.connect();
  onTestFinished(() => removal.end());
  await removal.query("BEGIN");
  await removal.query(`SELECT 1 FROM ${schema}.threads WHERE thread_id = 't' FOR UPDATE`);
  for (let replay = 0; replay < 3; replay++) {
    expect((await replayOf(runner, "t")).length).toBeGreaterThan(0);
  }
  await removal.query(`DELETE FROM ${schema}.runs WHERE thread_id = 't'`);
  await removal.query("COMMIT");
  // Its answer comes after those of all that was sent on the connection before.
  expect(await replayOf(runner, "t")).toEqual([]);
  expect(await views()).toBe(0);
});
