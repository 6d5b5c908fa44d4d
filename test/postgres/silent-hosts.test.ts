import "../support/leak-guard.ts";
import { Client } from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { StoreUnderTest } from "../../src/store/conformance/store-under-test.ts";
import { Connection } from "../../src/store/postgres/connection.ts";
import { statementsOf } from "../../src/store/postgres/statements.ts";
import { delta, opening, says } from "../support/message-events.ts";
import {
  collectingLogger,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  watch,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { behindProxy, openHost, runInTheMiddle } from "../support/postgres-hosts.ts";
import { postgresStore } from "../support/postgres-store.ts";
import { answeringAgent, started } from "../support/scripted-agent.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const ids = { threadId: "t", runId: "r" };
const SCHEMA = "durable_agent_runner";

test("the locks of a connection that falls silent in a transaction are free when it is given up", async () => {
  const { proxy, url } = await behindProxy(await server.newDatabase());
  const runner = openHost(url, { answerTimeoutMs: 1000 });
  await runner.ready();
  // The claim locks its thread, and the server waits for what comes next.
  const silenced = proxy.silenceAfter("dar_lock_threads");
  const events = await runToEnd(runner, "t", "r", answeringAgent());
  await silenced;
  expect(events.at(-1)?.type).toBe("RUN_FINISHED");
  expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r"]);
});

test("a host whose heartbeats go over a half-open connection keeps its runs", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const leaseMs = 3000;
  const host = openHost(url, { leaseMs });
  const other = openHost(direct, { leaseMs });
  await other.ready();
  const { end } = await runInTheMiddle(host);
  await proxy.silenceAfter("dar_beat");
  // The next heartbeat comes over a new connection. Meanwhile, the other host waits for it.
  await proxy.whenSent("dar_beat");
  const follower = watch(other.connect({ threadId: "t" }));
  await follower.until(says("before "));
  expect((await end()).at(-1)?.type).toBe("RUN_FINISHED");
  expect((await follower.done).at(-1)?.type).toBe("RUN_FINISHED");
});

test("a read over a half-open connection is tried again over another one", async () => {
  const { proxy, url } = await behindProxy(await server.newDatabase());
  const runner = openHost(url, { answerTimeoutMs: 1500 });
  await runToEnd(runner, "t", "r", answeringAgent());
  const silenced = proxy.silenceAfter("dar_thread_now");
  expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r"]);
  await silenced;
});

test("a connection for LISTEN that falls silent is noticed, and another one listens", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const runner = openHost(url, { leaseMs: 3000, answerTimeoutMs: 1500 });
  await runner.ready();
  // With each heartbeat, it asks whether the connection is there. In the protocol, a statement ends with NUL.
  await proxy.silenceAfter("SELECT 1\0");
  await proxy.whenSent("LISTEN dar_");
  const { agent, end } = await runInTheMiddle(openHost(direct));
  const follower = watch(runner.connect({ threadId: "t" }));
  await follower.until(says("before "));
  agent.emit(delta("m", "after"));
  await follower.until(says("after"));
  await end();
  expect(spokenIn(await follower.done)).toBe("before after");
});

test("a host whose own first notification comes late listens from then on, and no longer looks", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const logger = collectingLogger();
  const runner = openHost(direct, { listenUrl: url, leaseMs: 3000, logger });
  const slow = proxy.whenSent("LISTEN dar_").then(() => {
    proxy.delayMs = 2500;
  });
  await Promise.all([runner.ready(), slow]);
  await eventually(() => logger.lines.some(({ message }) => message.includes("LISTEN does not")));
  proxy.delayMs = 0;
  // A host that listens asks with each heartbeat whether the connection is there.
  await proxy.whenSent("SELECT 1\0");
  expect(logger.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
});

test("a host that comes while a slow heartbeat is under way keeps its run", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const runner = openHost(url, { leaseMs: 12_000 });
  await runner.ready();
  // The server answers this heartbeat before the other host comes. The answer is long under way.
  proxy.delayMs = 2500;
  const beat = () => server.query(`SELECT beat FROM ${SCHEMA}.hosts ORDER BY beat LIMIT 1`, direct);
  const before = await beat();
  await proxy.whenSent("dar_beat");
  await eventually(async () => (await beat())[0]?.beat !== before[0]?.beat);
  const { end } = await runInTheMiddle(openHost(direct));
  proxy.delayMs = 0;
  const follower = watch(runner.connect({ threadId: "t" }));
  const [refusal] = await runToEnd(runner, "t", "r2", answeringAgent());
  expect(refusal).toMatchObject({ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" });
  await follower.until(says("before "));
  expect((await end()).at(-1)?.type).toBe("RUN_FINISHED");
  expect((await follower.done).at(-1)?.type).toBe("RUN_FINISHED");
});

test("a host that closes writes no heartbeat after it has said so, whatever it is asked meanwhile", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const store = new StoreUnderTest(postgresStore({ connectionString: url, schema: SCHEMA }));
  await store.claimed("t", "r");
  // Whoever asks for this thread looks for its host, which nobody knows, among those that have heartbeats.
  await server.query(
    `INSERT INTO ${SCHEMA}.threads (thread_id, epoch, run_id, owner_id, claim_number)
     VALUES ('other', 1, 'r', 'unknown', 1)`,
    direct,
  );
  const hosts = () => server.query(`SELECT closed FROM ${SCHEMA}.hosts`, direct);
  const isSaid = proxy.whenSent("dar_close_host");
  const closed = store.close();
  await isSaid;
  // The answer is long under way.
  proxy.delayMs = 1000;
  await eventually(async () => (await hosts())[0]?.closed);
  proxy.delayMs = 0;
  await expect(store.port.readHistory("other", null)).rejects.toThrow("closed");
  await closed;
  expect(await hosts()).toEqual([{ closed: true }]);
});

test("a host that takes long between two statements keeps its transaction", async () => {
  const { proxy, url } = await behindProxy(await server.newDatabase());
  const answerTimeoutMs = 3000;
  const connection = new Connection({ connectionString: url, answerTimeoutMs, prepare: true });
  onTestFinished(() => connection.end());
  const { begin, bounded, commit } = statementsOf({ schema: SCHEMA, answerTimeoutMs });
  const { command } = await connection.use(async (send) => {
    await send(begin);
    await send(bounded);
    // Three of these take as long as the server waits for a host.
    for (let times = 0; times < 5; times++) await proxy.whenSent("SELECT 1");
    return send(commit);
  });
  expect(command).toBe("COMMIT");
});

test("heartbeats go on while the runs of a dead host wait to be ended", async () => {
  const url = await server.newDatabase();
  const runner = openHost(url, { leaseMs: 1000 });
  await runner.ready();
  const other = new Client({ connectionString: url });
  await other.connect();
  await other.query("BEGIN");
  await other.query(`LOCK TABLE ${SCHEMA}.runs IN EXCLUSIVE MODE`);
  await leaveRunOfDeadHost(url);
  const waiting = () =>
    server.query(
      "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
      url,
    );
  await eventually(async () => (await waiting()).length === 1);
  const blocked = await waiting();
  const beats = new Set<string>();
  await eventually(async () => {
    const alive = `SELECT beat FROM ${SCHEMA}.hosts WHERE instance_id <> 'gone'`;
    for (const { beat } of await server.query(alive, url)) beats.add(beat);
    return beats.size >= 3;
  });
  expect(await waiting()).toEqual(blocked);
  await other.query("COMMIT");
  await other.end();
  const replay = await replayOf(runner, "t");
  expect(replay.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "RUN_INTERRUPTED" });
});

/** A host has died in the middle of a run. */
async function leaveRunOfDeadHost(url: string): Promise<void> {
  const events = JSON.stringify([started(ids), opening("m"), delta("m", "before")]);
  await server.query(
    `INSERT INTO ${SCHEMA}.threads (thread_id, epoch, run_id, owner_id, claim_number)
     VALUES ('t', 1, 'r', 'gone', 1)`,
    url,
  );
  await server.query(`INSERT INTO ${SCHEMA}.journal VALUES ('t', 1, 0, '${events}')`, url);
  await server.query(
    `INSERT INTO ${SCHEMA}.hosts (instance_id, lease_ms, beat, closed) VALUES ('gone', 1000, 1, true)`,
    url,
  );
}
