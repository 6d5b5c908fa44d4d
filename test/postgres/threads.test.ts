import "../support/leak-guard.ts";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { schemaOf } from "../support/new-runner.ts";
import { openRunner, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, finished, started } from "../support/scripted-agent.ts";
import { startUsersServer } from "../support/users-server.ts";

let server: PostgresServer;
let url: string;

beforeAll(async () => {
  server = await startPostgres();
  url = await server.newDatabase();
  process.env.RUNNER_POSTGRES_URL = url;
});

afterAll(async () => {
  delete process.env.RUNNER_POSTGRES_URL;
  await server.stop();
});

const ids = { threadId: "t", runId: "r" };

/** How a dead host is known: by its row, which it no longer keeps up. */
const leaveDeadHost = (schema: string) =>
  server.query(
    `INSERT INTO ${schema}.hosts (instance_id, lease_ms, beat, closed) VALUES ('gone', 1000, 1, true)`,
    url,
  );

test("users list, find, rename and archive their threads over HTTP, and see no others", async () => {
  const users = await startUsersServer({ runner: openRunner({ dbPath: randomUUID() }) });
  await users.talk("ada", "of-ada", "r1");
  await users.talk("grace", "of-grace", "r2");
  const list = async (user: string, query = "") => {
    const response = await users.send(user, `GET /threads?agentId=default${query}`);
    expect(response.status).toBe(200);
    return (await response.json()) as { threads: Record<string, unknown>[] };
  };
  expect((await list("ada")).threads).toMatchObject([{ id: "of-ada" }]);
  expect((await list("grace")).threads).toMatchObject([{ id: "of-grace" }]);
  const change = (user: string, body: object) =>
    users.send(user, "PATCH /threads/of-ada", { body: { agentId: "default", ...body } });
  expect((await change("ada", { name: "Renamed by Ada" })).status).toBe(200);
  expect((await change("grace", { name: "stolen" })).status).toBe(404);
  expect((await list("ada")).threads).toMatchObject([{ name: "Renamed by Ada" }]);
  expect((await change("ada", { archived: true })).status).toBe(200);
  expect((await list("ada")).threads).toEqual([]);
  expect((await list("ada", "&includeArchived=true")).threads).toHaveLength(1);
});

describe("an interrupted run", () => {
  /** Longer than a busy machine stalls: one host is killed, and the others live. */
  const leaseMs = 3000;

  test("of a host that is killed is run again by one of the others, whom the third follows", async () => {
    const dbPath = randomUUID();
    const options = { dbPath, leaseMs, onInterrupted: "answer" } as const;
    const hosts = await Promise.all([1, 2, 3].map(() => RunnerProcess.open(options)));
    const [owner, ...others] = hosts as [RunnerProcess, RunnerProcess, RunnerProcess];
    const run = owner.run("t", "r");
    await run.emit(started(ids));
    await owner.flush();
    await owner.kill();
    const rerun = await Promise.any(others.map((other) => other.interrupted()));
    expect(rerun).toMatchObject({ threadId: "t", runId: "r", attempt: 1 });
    for (const other of others) {
      await eventually(async () => runIdsIn(await other.connect("t").done).length === 2);
      expect((await other.connect("t").done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    }
    for (const other of others) await other.close();
    expect(others.flatMap(({ interruptedRuns }) => interruptedRuns)).toHaveLength(1);
  });

  test("whose rerun is killed, too, goes to the next host, which counts that", async () => {
    const dbPath = randomUUID();
    const options = { dbPath, leaseMs } as const;
    const owner = await RunnerProcess.open({ ...options, onInterrupted: "decline" });
    // Nothing but its beginning is journaled.
    await owner.run("t", "r").started();
    await owner.flush();
    await owner.kill();
    const second = await RunnerProcess.open({ ...options, onInterrupted: "dieInRerun" });
    expect(await second.interrupted()).toMatchObject({ attempt: 1 });
    await second.died();
    const third = await RunnerProcess.open({ ...options, onInterrupted: "answer" });
    const run = await third.interrupted();
    expect(run).toMatchObject({ attempt: 2, input: { messages: [{ id: "question-r" }] } });
    expect(await third.reran()).toBeNull();
    expect(runIdsIn(await third.connect("t").done)).toEqual(["r", "r", "r"]);
    await third.close();
  });

  test("that another host had asked to stop is not run again", async () => {
    const dbPath = randomUUID();
    const options = { dbPath, leaseMs, onInterrupted: "answer" } as const;
    const owner = await RunnerProcess.open(options);
    const other = await RunnerProcess.open(options);
    await owner.run("t", "r").emit(started(ids));
    await owner.flush();
    owner.pause();
    expect(await other.stop("t", "r")).toBe(true);
    await owner.kill();
    await eventually(async () => runIdsIn(await other.connect("t").done).length === 1);
    await other.close();
    expect(other.interruptedRuns).toEqual([]);
  });
});

describe("lists and searches", () => {
  test("lack nothing that a dead host had not written", async () => {
    const dbPath = randomUUID();
    const schema = schemaOf(dbPath);
    const first = openRunner({ dbPath });
    for (const id of ["a", "b"]) await runToEnd(first, id, `run-of-${id}`, answeringAgent());
    const before = (await first.threads.list({ order: "created" })).threads;
    await first.close();
    for (const table of ["thread_list", "thread_facts", "thread_words"]) {
      await server.query(`DELETE FROM ${schema}.${table}`, url);
    }
    await leaveDeadHost(schema);
    const next = openRunner({ dbPath });
    const found = async () => (await next.threads.list({ search: "answer" })).threads;
    await eventually(async () => (await found()).length === 2);
    const after = (await next.threads.list({ order: "created" })).threads;
    const known = ({ id, title, runs, lastRun }: (typeof after)[number]) => [
      ...[id, title, runs, lastRun],
    ];
    expect(after.map(known).toSorted()).toEqual(before.map(known).toSorted());
  });

  test("have each thread of many that begin at once", async () => {
    const runner = openRunner({ dbPath: randomUUID() });
    const names = Array.from({ length: 300 }, (_, at) => `thread-${at}`);
    await Promise.all(names.map((id) => runToEnd(runner, id, `run-of-${id}`, answeringAgent())));
    const listed = async (search?: string) => {
      const { threads } = await runner.threads.list({ limit: 500, search });
      return threads.map(({ id }) => id).toSorted();
    };
    await eventually(async () => (await listed("answer")).length === 300);
    expect(await listed()).toEqual(names.toSorted());
  });

  test("leave PostgreSQL to update the row of a thread within its page", async () => {
    const dbPath = randomUUID();
    const runner = openRunner({ dbPath });
    for (const runId of ["1", "2", "3"]) await runToEnd(runner, "t", runId, answeringAgent());
    await runner.threads.rename("t", "Renamed");
    await runner.threads.archive("t");
    await runner.close();
    // The server counts a while later.
    const updates = await eventually(async () => {
      const [counts] = await server.query(
        `SELECT n_tup_upd::int AS all, n_tup_hot_upd::int AS hot FROM pg_stat_user_tables
         WHERE schemaname = '${schemaOf(dbPath)}' AND relname = 'threads'`,
        url,
      );
      return counts.all >= 6 && counts;
    });
    expect(updates.hot).toBe(updates.all);
  });

  test("know runs whose events are no JSON, which another program has written", async () => {
    const dbPath = randomUUID();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "r", answeringAgent());
    const schema = schemaOf(dbPath);
    await server.query(
      `INSERT INTO ${schema}.runs (thread_id, epoch, run_id, finished_at, input, events)
       SELECT 't', 10 + at, 'bad-' || at, 5, '{}', events
       FROM unnest(ARRAY['{', '', '[1,null,{}]', '"x"', '["x"]']) WITH ORDINALITY AS q(events, at)`,
      url,
    );
    await server.query(`UPDATE ${schema}.threads SET runs = 6, epoch = 20`, url);
    await runToEnd(runner, "t", "last", answeringAgent());
    const found = async () => (await runner.threads.list({ search: "last" })).threads;
    await eventually(async () => (await found()).length === 1);
    expect(await runner.threads.get("t")).toMatchObject({
      ...{ runs: 7, messages: 4, lastRun: { runId: "last" } },
    });
    expect((await runner.threads.runs("t")).runs).toHaveLength(7);
  });
});

test("a run of a rerun ends as it should", async () => {
  const dbPath = randomUUID();
  const owner = await RunnerProcess.open({ dbPath, leaseMs: 1000, onInterrupted: "decline" });
  await owner.run("t", "r").emit(started(ids));
  await owner.flush();
  await owner.kill();
  const next = await RunnerProcess.open({ dbPath, leaseMs: 1000, onInterrupted: "hold" });
  const rerun = await next.rerun();
  await rerun.emit(started(ids), finished(ids));
  await rerun.finish();
  expect(await next.reran()).toBeNull();
  await next.close();
  const last = await RunnerProcess.open({ dbPath, leaseMs: 1000, onInterrupted: "answer" });
  await last.flush();
  await last.close();
  expect(last.interruptedRuns).toEqual([]);
});
