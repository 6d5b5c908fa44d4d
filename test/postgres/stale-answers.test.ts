import "../support/leak-guard.ts";
import { Client } from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { delta } from "../support/message-events.ts";
import { replayOf, runIdsIn, runToEnd, watch } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { behindProxy, openHost, runInTheMiddle } from "../support/postgres-hosts.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, inputOf } from "../support/scripted-agent.ts";

/** Hosts that decide by answers which are older than the question, or too late. */
let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const SCHEMA = "durable_agent_runner";

async function connected(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  onTestFinished(() => client.end().catch(() => undefined));
  return client;
}

test("a host that is back after a pause keeps the run that it claims then", async () => {
  const url = await server.newDatabase();
  const runner = openHost(url);
  await runner.ready();
  const held = (threadId: string) =>
    `INSERT INTO ${SCHEMA}.threads (thread_id, epoch, run_id, owner_id, claim_number)
     VALUES ('${threadId}', 1, 'r', 'paused', 1)`;
  await server.query(held("a"), url);
  await server.query(`INSERT INTO ${SCHEMA}.hosts VALUES ('paused', 3000, 1)`, url);
  // The runner begins to end its runs, and does not come far.
  const locked = `SELECT 1 FROM ${SCHEMA}.threads WHERE thread_id = 'a' FOR UPDATE`;
  const locker = await connected(url);
  await locker.query("BEGIN");
  await locker.query(locked);
  const waiting =
    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
  await eventually(async () => (await server.query(waiting, url)).length > 0);
  const beat = `SELECT beat FROM ${SCHEMA}.hosts WHERE instance_id <> 'paused'`;
  const [before] = await server.query(beat, url);
  await eventually(async () => (await server.query(beat, url))[0]?.beat !== before.beat);
  await locker.query(`UPDATE ${SCHEMA}.hosts SET beat = 2 WHERE instance_id = 'paused'`);
  await locker.query(held("b"));
  await locker.query("COMMIT");
  const [refusal] = await runToEnd(runner, "b", "r2", answeringAgent());
  expect(refusal).toMatchObject({ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" });
  const owners = `SELECT owner_id FROM ${SCHEMA}.threads ORDER BY thread_id`;
  expect(await server.query(owners, url)).toEqual([{ owner_id: "paused" }, { owner_id: "paused" }]);
});

test("a claim puts back the row of its host, which a restored or promoted server lacks", async () => {
  const url = await server.newDatabase();
  const [host, other] = [openHost(url), openHost(url)];
  for (const runner of [host, other]) await runner.ready();
  // A host that says hello is answered with heartbeats: both have come before.
  await eventually(
    async () => (await server.query(`SELECT 1 FROM ${SCHEMA}.hosts`, url)).length === 2,
  );
  await server.query(`DELETE FROM ${SCHEMA}.hosts`, url);
  const { end } = await runInTheMiddle(host);
  // Writes a heartbeat, and reads the hosts.
  await other.health();
  const [refusal] = await runToEnd(other, "t", "r2", answeringAgent());
  expect(refusal).toMatchObject({ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" });
  expect((await end()).at(-1)?.type).toBe("RUN_FINISHED");
});

test("a run that is asked to stop before its claim is answered stops when it has begun", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const host = openHost(url, { leaseMs: 3000 });
  await runToEnd(host, "a", "r", answeringAgent());
  const other = openHost(direct);
  await other.ready();
  // The claims of both threads are of one batch, and of different lanes.
  const locker = await connected(direct);
  await locker.query("BEGIN");
  await locker.query(`SELECT 1 FROM ${SCHEMA}.threads WHERE thread_id = 'a' FOR UPDATE`);
  const agent = puppetAgent();
  const waits = watch(
    host.run({ threadId: "a", agent: answeringAgent(), input: inputOf("a", "r2") }),
  );
  const run = watch(host.run({ threadId: "b", agent, input: inputOf("b", "r") }));
  const claimed = `SELECT 1 FROM ${SCHEMA}.threads WHERE thread_id = 'b' AND owner_id IS NOT NULL`;
  await eventually(async () => (await server.query(claimed, direct)).length > 0);
  const looked = proxy.whenSent("dar_own_stops");
  expect(await other.stop({ threadId: "b" })).toBe(true);
  await looked;
  expect(agent.isStarted()).toBe(false);
  await locker.query("COMMIT");
  await waits.done;
  await agent.started;
  await eventually(() => agent.aborts() === 1);
  expect((await run.done).at(-1)?.type).toBe("RUN_FINISHED");
});

test("a request to stop that is sent again does not stop the next run", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const [host, asking] = [openHost(direct), openHost(url)];
  await asking.ready();
  const first = await runInTheMiddle(host);
  const cut = proxy.cutAnswerTo("dar_save_threads").then(() => {
    proxy.mode = "refuse";
  });
  const asked = asking.stop({ threadId: "t" });
  await cut;
  await first.run.done;
  const second = await runInTheMiddle(host, { runId: "r2", messageId: "m-r2" });
  proxy.mode = "pass";
  await asked;
  const stops = await server.query(`SELECT stop FROM ${SCHEMA}.threads`, direct);
  expect(stops.map(({ stop }) => Number(stop))).toEqual([0]);
  expect((await second.end()).at(-1)?.type).toBe("RUN_FINISHED");
  expect(second.agent.aborts()).toBe(0);
});

test("a claim that was given up holds no thread when it comes to the server late", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const runner = openHost(url, { answerTimeoutMs: 500 });
  await runToEnd(runner, "t", "r", answeringAgent());
  const indexed = `SELECT 1 FROM ${SCHEMA}.thread_facts WHERE up_to > 0`;
  await eventually(async () => (await server.query(indexed, direct)).length > 0);
  const holding = proxy.holdFrom("dar_begin");
  const refused = runToEnd(runner, "t", "r2", answeringAgent());
  const deliver = await holding;
  proxy.mode = "refuse";
  expect((await refused).at(-1)?.type).toBe("RUN_ERROR");
  proxy.mode = "pass";
  await runner.flush();
  await deliver();
  expect(await server.query(`SELECT owner_id FROM ${SCHEMA}.threads`, direct)).toEqual([
    { owner_id: null },
  ]);
  const events = await runToEnd(openHost(direct), "t", "r3", answeringAgent());
  expect(events.at(-1)?.type).toBe("RUN_FINISHED");
  expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r", "r3"]);
});

test("a list waits for what another list is writing before it", async () => {
  const { proxy, url } = await behindProxy(await server.newDatabase());
  const runner = openHost(url);
  await runner.ready();
  const ids = Array.from({ length: 200 }, (_, at) => `t${at}`);
  await Promise.all(ids.map((id) => runToEnd(runner, id, "r", answeringAgent())));
  proxy.delayMs = 300;
  const lists = Array.from({ length: 3 }, () => runner.threads.list({ limit: 500 }));
  const counts = (await Promise.all(lists)).map(({ threads }) => threads.length);
  proxy.delayMs = 0;
  expect(counts).toEqual([200, 200, 200]);
});

test("a host that hears nothing of others finds a request to stop with its next batch", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const leaseMs = 600_000;
  const host = openHost(direct, { listenUrl: url, leaseMs });
  await host.ready();
  proxy.mode = "blackhole";
  const { agent, run } = await runInTheMiddle(host);
  expect(await openHost(direct, { leaseMs }).stop({ threadId: "t" })).toBe(true);
  agent.emit(delta("m", "more"));
  await eventually(() => agent.aborts() === 1);
  expect((await run.done).at(-1)?.type).toBe("RUN_FINISHED");
});

test("a host with a short lease does not keep others on a slow network from storing runs", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const runner = openHost(url, { leaseMs: 60_000 });
  await runner.ready();
  proxy.delayMs = 700;
  await openHost(direct, { leaseMs: 1500 }).ready();
  // The second run begins when its host is late by the lease of the other one.
  for (const runId of ["r1", "r2"]) {
    const events = await runToEnd(runner, "t", runId, answeringAgent());
    expect(events.at(-1)?.type).toBe("RUN_FINISHED");
  }
  proxy.delayMs = 0;
  expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r1", "r2"]);
});
