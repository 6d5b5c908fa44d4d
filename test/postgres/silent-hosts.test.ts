import "../support/leak-guard.ts";
import { Client } from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { PostgresAgentRunner, type PostgresAgentRunnerOptions } from "../../src/postgres.ts";
import { Connection } from "../../src/store/postgres/connection.ts";
import { statementsOf } from "../../src/store/postgres/statements.ts";
import { closing, delta, opening, says } from "../support/message-events.ts";
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
import { puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started } from "../support/scripted-agent.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const ids = { threadId: "t", runId: "r" };
const SCHEMA = "durable_agent_runner";

async function behindProxy(url: string) {
  const behind = await TcpProxy.before(url);
  onTestFinished(() => behind.proxy.close());
  return behind;
}

function open(connectionString: string, options: Partial<PostgresAgentRunnerOptions> = {}) {
  const logger = collectingLogger();
  const runner = new PostgresAgentRunner({ connectionString, lingerMs: 5, logger, ...options });
  onTestFinished(() => runner.close().catch(() => undefined));
  return runner;
}

async function runInTheMiddle(runner: PostgresAgentRunner) {
  const agent = puppetAgent();
  const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
  await agent.started;
  agent.emit(started(ids), opening("m"), delta("m", "before "));
  await runner.flush();
  const end = () => {
    agent.emit(closing("m"), finished(ids));
    agent.finish();
    return run.done;
  };
  return { agent, end };
}

test("the locks of a connection that falls silent in a transaction are free when it is given up", async () => {
  const { proxy, url } = await behindProxy(await server.newDatabase());
  const runner = open(url, { answerTimeoutMs: 1000 });
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
  const host = open(url, { leaseMs });
  const other = open(direct, { leaseMs });
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
  const runner = open(url, { answerTimeoutMs: 500 });
  await runToEnd(runner, "t", "r", answeringAgent());
  const silenced = proxy.silenceAfter("dar_thread_now");
  expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r"]);
  await silenced;
});

test("a connection for LISTEN that falls silent is noticed, and another one listens", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const runner = open(url, { leaseMs: 1000, answerTimeoutMs: 500 });
  await runner.ready();
  // With each heartbeat, it asks whether the connection is there. In the protocol, a statement ends with NUL.
  await proxy.silenceAfter("SELECT 1\0");
  await proxy.whenSent("LISTEN dar_");
  const { agent, end } = await runInTheMiddle(open(direct));
  const follower = watch(runner.connect({ threadId: "t" }));
  await follower.until(says("before "));
  agent.emit(delta("m", "after"));
  await follower.until(says("after"));
  await end();
  expect(spokenIn(await follower.done)).toBe("before after");
});

test("a host that takes long between two statements keeps its transaction", async () => {
  const { proxy, url } = await behindProxy(await server.newDatabase());
  const answerTimeoutMs = 300;
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
  const runner = open(url, { leaseMs: 1000 });
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
