import "../support/leak-guard.ts";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { spawnChild } from "../support/child-process.ts";
import { closing, delta, isA, opening, says } from "../support/message-events.ts";
import { schemaOf } from "../support/new-runner.ts";
import { asReplayed, runIdsIn, spokenIn, typesOf } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { finished, started } from "../support/scripted-agent.ts";

const UNCLOSED = join(import.meta.dirname, "../behaviour/children/unclosed.ts");

/** Two hosts are two processes on one database. */
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
  process.env.RUNNER_POSTGRES_URL = await server.newDatabase();
});

afterAll(async () => {
  delete process.env.RUNNER_POSTGRES_URL;
  await server.stop();
});

const ids = { threadId: "t", runId: "r" };

async function twoHosts(leaseMs = 15_000) {
  const dbPath = randomUUID();
  const options = { dbPath, leaseMs, lingerMs: 5 };
  return Promise.all([RunnerProcess.open(options), RunnerProcess.open(options)]);
}

async function runOn(host: RunnerProcess, onAbort: "end" | "ignore" = "end") {
  const run = host.run("t", "r", { onAbort });
  await run.emit(started(ids), opening("m"), delta("m", "so far "));
  await host.flush();
  return run;
}

test("a run is followed live on another host, event by event", async () => {
  const [owner, other] = await twoHosts();
  const run = await runOn(owner);
  const follower = other.connect("t");
  await follower.until(says("so far "));
  for (let at = 0; at < 10; at++) {
    await run.emit(delta("m", `word ${at} `));
    await follower.until(says(`word ${at} `));
  }
  expect(await other.isRunning("t")).toBe(true);
  await run.emit(closing("m"), finished(ids));
  await run.finish();
  expect(await follower.done).toEqual(asReplayed(await run.done));
  await verifyWithClients(follower.events);
  expect(await other.isRunning("t")).toBe(false);
});

test("a run is stopped from another host, and its thread is free on both", async () => {
  const [owner, other] = await twoHosts();
  const run = await runOn(owner);
  expect(await other.stop("t", "another")).toBe(false);
  expect(await other.stop("t", "r")).toBe(true);
  const events = await run.done;
  expect(typesOf(events).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_FINISHED"]);
  expect(await run.aborts()).toBe(1);
  const next = other.run("t", "next");
  await next.emit(started({ threadId: "t", runId: "next" }));
  await next.finish();
  expect(runIdsIn(await owner.connect("t").done)).toEqual(["r", "next"]);
});

test("a thread has one run at a time, on whatever host", async () => {
  const [owner, other] = await twoHosts();
  const run = await runOn(owner);
  const refused = await other.run("t", "second").done;
  expect(refused).toMatchObject([{ type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" }]);
  await run.finish();
  expect((await run.done).at(-1)?.type).toBe("RUN_ERROR");
});

test("the run of a host that is killed ends on the other with what was stored of it", async () => {
  const [owner, other] = await twoHosts(1000);
  await runOn(owner);
  const follower = other.connect("t");
  await follower.until(says("so far "));
  await owner.kill();
  const end = await follower.until(isA("RUN_ERROR"));
  expect(end).toMatchObject({ code: "RUN_INTERRUPTED" });
  await verifyWithClients(await follower.done);
  expect(spokenIn(await other.connect("t").done)).toBe("so far ");
  const next = other.run("t", "next");
  await next.started();
  await next.finish();
  expect((await next.done).at(-1)?.type).toBe("RUN_ERROR");
});

test("a host that was suspended for longer than its lease finds its run taken over", async () => {
  const [owner, other] = await twoHosts(1000);
  const run = await runOn(owner);
  const follower = other.connect("t");
  await follower.until(says("so far "));
  owner.pause();
  expect(await follower.until(isA("RUN_ERROR"))).toMatchObject({ code: "RUN_INTERRUPTED" });
  owner.resume();
  await run.emit(delta("m", "too late"));
  expect(await run.until(isA("RUN_ERROR"))).toMatchObject({ code: "LEASE_LOST" });
  const replay = await owner.connect("t").done;
  expect(spokenIn(replay)).toBe("so far ");
  expect(replay.filter(({ type }) => type === "RUN_ERROR")).toHaveLength(1);
});

test("a host that closes leaves nothing for others to wait for", async () => {
  const [owner, other] = await twoHosts();
  const run = await runOn(owner);
  const follower = other.connect("t");
  await follower.until(says("so far "));
  const closed = owner.close();
  await run.done;
  await follower.done;
  await closed;
  expect(await other.isRunning("t")).toBe(false);
});

test("hosts that start together on an empty database make its tables once", async () => {
  const hosts = await Promise.all([twoHosts(), twoHosts()]);
  expect(hosts.flat()).toHaveLength(4);
  const url = process.env.RUNNER_POSTGRES_URL ?? "";
  const versions = await server.query(
    `SELECT count(*)::int AS tables FROM pg_tables WHERE tablename = 'schema_version'`,
    url,
  );
  expect(versions[0].tables).toBeGreaterThan(1);
});

test("every key begins with thread_id, so that tables can be distributed by it", async () => {
  const dbPath = randomUUID();
  const host = await RunnerProcess.open({ dbPath });
  const schema = schemaOf(dbPath);
  const indexes = await server.query(
    `SELECT c.relname AS table, (SELECT attname FROM pg_attribute
       WHERE attrelid = c.oid AND attnum = i.indkey[0]) AS first_column
     FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
     JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = '${schema}' AND i.indisunique`,
    process.env.RUNNER_POSTGRES_URL,
  );
  // Small tables that are not distributed.
  const small = ["hosts", "removed_threads", "purge_lease", "schema_version"];
  const ofThreads = indexes.filter(({ table }) => !small.includes(table));
  expect(ofThreads.length).toBeGreaterThanOrEqual(4);
  expect(ofThreads.filter(({ first_column }) => first_column !== "thread_id")).toEqual([]);
  const sequences = await server.query(
    `SELECT count(*)::int AS n FROM pg_sequences WHERE schemaname = '${schema}'`,
    process.env.RUNNER_POSTGRES_URL,
  );
  expect(sequences).toEqual([{ n: 0 }]);
  await host.close();
});

test.each(["unused", "idle", "unwritten run"])(
  "a process that never closes its runner ends by itself: %s",
  async (scenario) => {
    const child = spawnChild(process.execPath, [UNCLOSED, scenario, randomUUID()]);
    expect(await child.exited).toEqual({ code: 0, stderr: "" });
  },
);

test("the journals that a dead host kept are removed by another, and those of live runs stay", async () => {
  const url = process.env.RUNNER_POSTGRES_URL;
  const dbPath = randomUUID();
  const schema = schemaOf(dbPath);
  const owner = await RunnerProcess.open({ dbPath, lingerMs: 5 });
  const run = await runOn(owner);
  await server.query(
    `INSERT INTO ${schema}.threads (thread_id, epoch, updated_at) VALUES ('old', 7, '2020-01-01')`,
    url,
  );
  await server.query(`INSERT INTO ${schema}.journal VALUES ('old', 7, 0, '[]')`, url);
  // Its first heartbeat after opening looks for them.
  await RunnerProcess.open({ dbPath, leaseMs: 300 });
  const threads = async () =>
    (await server.query(`SELECT DISTINCT thread_id FROM ${schema}.journal`, url)).map(
      ({ thread_id }) => thread_id,
    );
  await eventually(async () => !(await threads()).includes("old"));
  expect(await threads()).toEqual(["t"]);
  await run.finish();
});
