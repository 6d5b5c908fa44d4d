import "../support/leak-guard.ts";
import { Client } from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { delta, isA, says } from "../support/message-events.ts";
import {
  collect,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { behindProxy, openHost, runInTheMiddle } from "../support/postgres-hosts.ts";
import { answeringAgent } from "../support/scripted-agent.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

test("a server that is killed and started again: streams go on, and nothing acknowledged is lost", async ({
  skip,
}) => {
  if (!server.isOwn) skip("POSTGRES_URL names a server that is not killed");
  const url = await server.newDatabase();
  const [host, other] = [openHost(url), openHost(url)];
  await runToEnd(host, "t", "acknowledged", answeringAgent());
  const { agent, run, end } = await runInTheMiddle(host);
  const follower = watch(other.connect({ threadId: "t" }));
  await follower.until(says("before "));
  await server.own.kill();
  agent.emit(delta("m", "meanwhile "));
  await run.until(says("meanwhile "));
  await server.own.start();
  agent.emit(delta("m", "after"));
  await follower.until(says("after"));
  const events = await end();
  expect(events.at(-1)?.type).toBe("RUN_FINISHED");
  expect(spokenIn(events)).toBe("before meanwhile after");
  expect(spokenIn(await follower.done)).toContain("before meanwhile after");
  for (const runner of [host, other]) {
    const replay = await replayOf(runner, "t");
    expect(runIdsIn(replay)).toEqual(["acknowledged", "r"]);
    expect(spokenIn(replay)).toContain("before meanwhile after");
  }
});

test("connections that are cut over and over cost nothing: every run is stored once", async () => {
  const { proxy, url } = await behindProxy(await server.newDatabase());
  const runner = openHost(url);
  await runner.ready();
  const told: string[] = [];
  for (let round = 0; round < 10; round++) {
    const runs = [0, 1, 2].map((n) =>
      runToEnd(runner, `t${n}`, `r${round}-${n}`, answeringAgent()).then((events) =>
        told.push(events.at(-1)?.type ?? "none"),
      ),
    );
    proxy.cut();
    await Promise.all(runs);
  }
  expect(told).toEqual(Array(30).fill("RUN_FINISHED"));
  for (const n of [0, 1, 2]) {
    const expected = Array.from({ length: 10 }, (_, round) => `r${round}-${n}`);
    expect(runIdsIn(await replayOf(runner, `t${n}`))).toEqual(expected);
  }
});

test("a commit whose answer is lost is recognised when it is sent again", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const runner = openHost(url);
  await runToEnd(runner, "t", "first", answeringAgent());
  const { end } = await runInTheMiddle(runner);
  const cut = proxy.cutAnswerTo("dar_commit");
  const events = await end();
  await cut;
  expect(typesOf(events).at(-1)).toBe("RUN_FINISHED");
  const again = proxy.cutAnswerTo("dar_commit");
  const claimed = await runToEnd(runner, "t", "last", answeringAgent());
  await again;
  expect(typesOf(claimed).at(-1)).toBe("RUN_FINISHED");
  expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["first", "r", "last"]);
  const stored = await server.query("SELECT run_id FROM durable_agent_runner.runs", direct);
  expect(stored.map(({ run_id }) => run_id).sort()).toEqual(["first", "last", "r"]);
});

test("a half-open connection is given up, and the run is stored over another one", async () => {
  const { proxy, url } = await behindProxy(await server.newDatabase());
  const runner = openHost(url, { answerTimeoutMs: 1500 });
  const { agent, run, end } = await runInTheMiddle(runner);
  proxy.mode = "blackhole";
  agent.emit(delta("m", "meanwhile"));
  await run.until(says("meanwhile"));
  // What the runner sends now gets no answer.
  await eventually(() => runner.stats().lastError?.code === "CONNECTION_LOST");
  proxy.mode = "pass";
  proxy.cut();
  expect((await end()).at(-1)?.type).toBe("RUN_FINISHED");
  expect(spokenIn(await replayOf(runner, "t"))).toBe("before meanwhile");
});

test("while the server is away, new runs are refused with a code once too much waits", async () => {
  const { proxy, url } = await behindProxy(await server.newDatabase());
  const runner = openHost(url, { maxPendingBytes: 1000 });
  const { agent, end } = await runInTheMiddle(runner);
  proxy.mode = "refuse";
  proxy.cut();
  agent.emit(delta("m", "x".repeat(2000)));
  await eventually(() => runner.stats().queueBytes > 1000);
  const refused = await runToEnd(runner, "other", "r2", answeringAgent());
  expect(refused).toMatchObject([{ type: "RUN_ERROR", code: "QUEUE_FULL" }]);
  proxy.mode = "pass";
  expect((await end()).at(-1)?.type).toBe("RUN_FINISHED");
  expect(spokenIn(await replayOf(runner, "t"))).toHaveLength(2007);
});

test("a host whose runs were taken over while it could reach nothing loses them", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const leaseMs = 1000;
  const cutOff = openHost(url, { leaseMs });
  const other = openHost(direct, { leaseMs });
  await other.ready();
  const { agent, run } = await runInTheMiddle(cutOff);
  proxy.mode = "refuse";
  proxy.cut();
  const follower = await collect(other.connect({ threadId: "t" }));
  expect(follower.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "RUN_INTERRUPTED" });
  expect((await runToEnd(other, "t", "next", answeringAgent())).at(-1)?.type).toBe("RUN_FINISHED");
  proxy.mode = "pass";
  agent.emit(delta("m", "too late"));
  expect(await run.until(isA("RUN_ERROR"))).toMatchObject({ code: "LEASE_LOST" });
  const replay = await replayOf(cutOff, "t");
  expect(runIdsIn(replay)).toEqual(["r", "next"]);
  expect(spokenIn(replay)).not.toContain("too late");
});

test("a server that becomes a standby is left for the new primary: what it refuses is sent again", async () => {
  const url = await server.newDatabase();
  const name = new URL(url).pathname.slice(1);
  const runner = openHost(url);
  const { agent, run, end } = await runInTheMiddle(runner);
  // A standby refuses writes with the code that this setting gives.
  await server.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
  await endSessions(name);
  agent.emit(delta("m", "meanwhile"));
  await run.until(says("meanwhile"));
  await eventually(() => /read-only/.test(runner.stats().lastError?.message ?? ""));
  await server.query(`ALTER DATABASE ${name} RESET default_transaction_read_only`);
  await endSessions(name);
  expect((await end()).at(-1)?.type).toBe("RUN_FINISHED");
  expect(spokenIn(await replayOf(runner, "t"))).toBe("before meanwhile");
});

/** As a server does that is shut down. */
const endSessions = (database: string) =>
  server.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`,
  );

test("a lock of another program delays a run, and its agent does not notice", async () => {
  const url = await server.newDatabase();
  const runner = openHost(url, { answerTimeoutMs: 1500 });
  const { agent, run, end } = await runInTheMiddle(runner);
  const other = new Client({ connectionString: url });
  await other.connect();
  await other.query("BEGIN");
  await other.query("LOCK TABLE durable_agent_runner.threads");
  agent.emit(delta("m", "meanwhile"));
  await run.until(says("meanwhile"));
  await eventually(() => runner.stats().lastError !== null);
  await other.query("COMMIT");
  await other.end();
  expect((await end()).at(-1)?.type).toBe("RUN_FINISHED");
  expect(spokenIn(await replayOf(runner, "t"))).toBe("before meanwhile");
});

test("closing ends in time while the server is away, and says what is not stored", async () => {
  const { proxy, url } = await behindProxy(await server.newDatabase());
  const runner = openHost(url, { closeTimeoutMs: 1000 });
  const { agent, run } = await runInTheMiddle(runner);
  proxy.mode = "blackhole";
  agent.emit(delta("m", "lost"));
  await run.until(says("lost"));
  await expect(runner.close()).rejects.toMatchObject({ code: "CLOSE_INCOMPLETE" });
  expect((await run.done).at(-1)).toMatchObject({ type: "RUN_ERROR", code: "PERSISTENCE_FAILED" });
});
