import "../support/leak-guard.ts";
import { Client } from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { PostgresAgentRunner } from "../../src/postgres.ts";
import { brakeSchema } from "../support/brake.ts";
import { collectingLogger, replayOf, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { newSchema } from "../support/postgres-store.ts";
import { answeringAgent } from "../support/scripted-agent.ts";

const RUNS = 4000;

let server: PostgresServer;
let url: string;
beforeAll(async () => {
  server = await startPostgres();
  url = await server.newDatabase();
});
afterAll(() => server.stop());

function open(schema: string): PostgresAgentRunner {
  const logger = collectingLogger();
  const runner = new PostgresAgentRunner({ connectionString: url, schema, logger, leaseMs: 1500 });
  onTestFinished(() => runner.close().catch(() => undefined));
  return runner;
}

/** A thread that is too large to be removed in one transaction. */
async function largeThread() {
  const schema = newSchema();
  const runner = open(schema);
  await runToEnd(runner, "t", "r1", answeringAgent());
  await server.query(
    `INSERT INTO ${schema}.runs (thread_id, epoch, run_id, finished_at, input, events)
     SELECT thread_id, epoch + at, 'copy-' || at, finished_at, input, events
     FROM ${schema}.runs CROSS JOIN generate_series(1, ${RUNS}) AS at`,
    url,
  );
  await server.query(
    `UPDATE ${schema}.threads SET runs = runs + ${RUNS}, epoch = epoch + ${RUNS}`,
    url,
  );
  const rows = async (threadId = "t"): Promise<number> => {
    const sql = `SELECT count(*)::int4 AS rows FROM ${schema}.runs WHERE thread_id = '${threadId}'`;
    return (await server.query(sql, url))[0].rows;
  };
  return { schema, runner, rows };
}

/** Another transaction that holds a run of the thread: a removal cannot end before it. */
async function holdLastRun(schema: string): Promise<Client> {
  const holder = new Client({ connectionString: url });
  // It may end with its server.
  holder.on("error", () => undefined);
  await holder.connect();
  onTestFinished(() => holder.end().catch(() => undefined));
  await holder.query("BEGIN");
  const last = `SELECT 1 FROM ${schema}.runs WHERE run_id = 'copy-${RUNS}' FOR UPDATE`;
  await holder.query(last);
  return holder;
}

test.runIf(process.env.POSTGRES_URL === undefined)(
  "a thread is removed to the end when its server was killed in the middle",
  async () => {
    const { schema, runner, rows } = await largeThread();
    await holdLastRun(schema);
    const deleted = runner.threads.delete("t").then(
      () => null,
      ({ code }: { code: string }) => code,
    );
    await eventually(async () => (await rows()) < RUNS);
    await server.own.kill();
    expect(["CONNECTION_LOST", "CANNOT_CONNECT"]).toContain(await deleted);
    await server.own.start();
    expect(await replayOf(runner, "t")).toEqual([]);
    await eventually(async () => (await rows()) === 0);
    const left = `SELECT 1 FROM ${schema}.threads WHERE thread_id = 't'`;
    await eventually(async () => (await server.query(left, url)).length === 0);
    await runToEnd(runner, "t", "again", answeringAgent());
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["again"]);
    const epochs = `SELECT epoch FROM ${schema}.runs WHERE thread_id = 't'`;
    expect(Number((await server.query(epochs, url))[0].epoch)).toBeGreaterThan(RUNS);
  },
);

test("closing cuts a removal off, and the next host removes the rest", async () => {
  const { schema, runner, rows } = await largeThread();
  const holder = await holdLastRun(schema);
  const deleted = runner.threads.delete("t").then(
    () => null,
    ({ code }: { code: string }) => code,
  );
  await eventually(async () => (await rows()) < RUNS);
  await runner.close();
  expect(await deleted).toBe("RUNNER_CLOSED");
  expect(await rows()).toBeGreaterThan(0);
  await holder.query("ROLLBACK");
  const next = open(schema);
  expect(await replayOf(next, "t")).toEqual([]);
  await eventually(async () => (await rows()) === 0);
});

test("a fork of a thread whose oldest runs are purged meanwhile has no gap", async () => {
  const { schema, runner, rows } = await largeThread();
  const release = brakeSchema(url, schema, "INSERT");
  const forked = runner.threads.fork("t", { newThreadId: "f" });
  await eventually(async () => (await rows("f")) > 0);
  const purged = open(schema).purge({ maxRunsPerThread: 10 });
  await eventually(async () => (await rows()) < RUNS);
  release();
  await purged;
  await forked;
  const stored = `SELECT run_id FROM ${schema}.runs WHERE thread_id = 'f' ORDER BY epoch`;
  const ids = (await server.query(stored, url)).map(({ run_id }) => run_id);
  const all = ["r1", ...Array.from({ length: RUNS }, (_, at) => `copy-${at + 1}`)];
  expect(ids.length).toBeGreaterThanOrEqual(10);
  expect(ids).toEqual(all.slice(-ids.length));
  expect((await runner.threads.get("f"))?.runs).toBe(ids.length);
});

test("a fork of a thread that is removed and made again meanwhile is none", async () => {
  const { schema, runner, rows } = await largeThread();
  const release = brakeSchema(url, schema, "INSERT");
  const forked = runner.threads.fork("t", { newThreadId: "f" }).catch(({ code }) => code);
  await eventually(async () => (await rows("f")) > 0);
  // As other hosts remove the thread, and store a run on it again.
  await server.query(
    `DELETE FROM ${schema}.runs WHERE thread_id = 't' AND epoch > 1;
     UPDATE ${schema}.runs SET epoch = 9000 WHERE thread_id = 't';
     DELETE FROM ${schema}.threads WHERE thread_id = 't';
     INSERT INTO ${schema}.threads (thread_id, epoch, runs) VALUES ('t', 9000, 1)`,
    url,
  );
  expect(await forked).toBe("THREAD_NOT_FOUND");
  release();
  await eventually(async () => (await rows("f")) === 0);
  expect((await runner.threads.list()).threads.map(({ id }) => id)).toEqual(["t"]);
});

test.each(["delete", "erase"] as const)(
  "a removal whose beginning was lost in a failover removes all the same: %s",
  async (removal) => {
    const { schema, runner, rows } = await largeThread();
    const { threads } = runner;
    const removed = removal === "delete" ? threads.delete("t") : threads.erase({ threadId: "t" });
    await eventually(async () => (await rows()) < RUNS);
    await server.query(`UPDATE ${schema}.threads SET unfinished = NULL, unfinished_by = NULL`, url);
    await removed;
    expect(await rows()).toBe(0);
    expect(await runner.threads.get("t")).toBeNull();
  },
);
