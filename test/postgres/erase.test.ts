import "../support/leak-guard.ts";
import { randomUUID } from "node:crypto";
import { Client } from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { withResource } from "../../src/index.ts";
import { PostgresAgentRunner } from "../../src/postgres.ts";
import { collectingLogger, replayOf, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { newSchema } from "../support/postgres-store.ts";
import { finished, heldAgent, scriptedAgent, started } from "../support/scripted-agent.ts";

let server: PostgresServer;
let url: string;
beforeAll(async () => {
  server = await startPostgres();
  url = await server.newDatabase();
});
afterAll(() => server.stop());

function open(schema: string, connectionString = url): PostgresAgentRunner {
  const logger = collectingLogger();
  const runner = new PostgresAgentRunner({ connectionString, schema, logger, lingerMs: 1 });
  onTestFinished(() => runner.close().catch(() => undefined));
  return runner;
}

/** An agent that says a secret in every way in which a run can hold it. */
const tellingAgent = (secret: string) =>
  scriptedAgent(function* ({ input }) {
    const messageId = `${secret}-message-${input.runId}`;
    yield started(input);
    yield { type: "TEXT_MESSAGE_START", messageId, role: "assistant" };
    yield { type: "TEXT_MESSAGE_CONTENT", messageId, delta: `${secret} "says" größer ` };
    yield { type: "TEXT_MESSAGE_END", messageId };
    yield { type: "CUSTOM", name: "long", value: `${secret}-long `.repeat(5000) };
    yield {
      type: "STATE_SNAPSHOT",
      snapshot: { [`${secret}-key`]: `${secret}-state `.repeat(300) },
    };
    yield finished(input);
  });

const secretOf = (name: string) => `${name}-${randomUUID()}`;

async function tell(runner: PostgresAgentRunner, threadId: string, secret: string, runs = 3) {
  for (let at = 1; at <= runs; at++) {
    await runToEnd(runner, threadId, `${secret}-run-${at}`, tellingAgent(secret));
  }
}

/** How many rows of all tables hold a text. */
async function rowsWith(schema: string, text: string): Promise<number> {
  const tables = await server.query(
    `SELECT relname AS name FROM pg_class WHERE relnamespace = '${schema}'::regnamespace AND relkind = 'r'`,
    url,
  );
  expect(tables.length).toBeGreaterThan(8);
  let found = 0;
  for (const { name } of tables) {
    const [{ rows }] = await server.query(
      `SELECT count(*) AS rows FROM ${schema}.${name} AS r WHERE position('${text}' IN r::text) > 0`,
      url,
    );
    found += Number(rows);
  }
  return found;
}

/** What VACUUM says of the tables with texts: how many dead rows it has found. */
async function deadRowsOf(schema: string): Promise<string[]> {
  const client = new Client({ connectionString: url });
  const found: string[] = [];
  client.on("notice", ({ message = "" }) => found.push(...(message.match(/tuples: .*/g) ?? [])));
  await client.connect();
  for (const table of ["runs", "shared_values", "messages", "journal", "thread_list"]) {
    await client.query(`VACUUM (VERBOSE) ${schema}.${table}`);
  }
  await client.end();
  return found;
}

test("leaves nothing of a resource in any table, and all of the others", async () => {
  const schema = newSchema();
  const runner = open(schema);
  const [ann, bob] = [secretOf("ann"), secretOf("bob")];
  const threadOf = (secret: string, at: number) => `${secret}-thread-${at}`;
  await withResource(ann, async () => {
    for (const at of [1, 2]) await tell(runner, threadOf(ann, at), ann);
    await runner.threads.rename(threadOf(ann, 1), `${ann} title`);
    await runner.threads.setMetadata(threadOf(ann, 2), { key: `${ann}-metadata` });
    await runner.threads.list({ search: "says" });
  });
  await withResource(bob, () => tell(runner, threadOf(bob, 1), bob));
  const before = await withResource(bob, () => replayOf(runner, threadOf(bob, 1)));
  expect(await rowsWith(schema, ann)).toBeGreaterThan(10);
  const erased = await runner.threads.erase({ resourceId: ann });
  expect(erased).toEqual({ threads: 2, runs: 6, verified: true });
  expect(await rowsWith(schema, ann)).toBe(0);
  const dead = await deadRowsOf(schema);
  expect(dead.length).toBeGreaterThan(4);
  for (const counts of dead) expect(counts).toMatch(/^tuples: 0 removed, .* 0 are dead/);
  expect(await withResource(bob, () => replayOf(runner, threadOf(bob, 1)))).toEqual(before);
  expect(await rowsWith(schema, bob)).toBeGreaterThan(5);
  // A resource without threads: nothing is removed, and nothing is left.
  expect(await runner.threads.erase({ resourceId: ann })).toMatchObject({ threads: 0 });
});

test("finds the threads of a resource that no list has yet", async () => {
  const schema = newSchema();
  const runner = open(schema);
  const secret = secretOf("anna");
  await withResource("anna", () => tell(runner, "t", secret, 1));
  await withResource("ben", () => tell(runner, "b", secretOf("ben"), 1));
  // A host under load writes the list behind its runs.
  await server.query(`DELETE FROM ${schema}.thread_list`, url);
  expect(await runner.threads.erase({ resourceId: "anna" })).toMatchObject({ threads: 1, runs: 1 });
  expect(await rowsWith(schema, secret)).toBe(0);
  expect(runIdsIn(await withResource("ben", () => replayOf(runner, "b")))).toHaveLength(1);
});

test("leaves nothing of one thread, whose first runs were purged before", async () => {
  const schema = newSchema();
  const runner = open(schema);
  const [secret, other] = [secretOf("secret"), secretOf("other")];
  await tell(runner, "erased", secret, 6);
  await tell(runner, "kept", other, 3);
  await runner.purge({ maxRunsPerThread: 3 });
  expect(await runner.threads.erase({ threadId: "erased" })).toMatchObject({ verified: true });
  expect(await rowsWith(schema, secret)).toBe(0);
  expect(runIdsIn(await replayOf(runner, "kept"))).toHaveLength(3);
  const again = runner.threads.erase({ threadId: "erased" });
  await expect(again).rejects.toMatchObject({ code: "THREAD_NOT_FOUND" });
});

test("keeps what a fork has of it, and nothing else", async () => {
  const schema = newSchema();
  const runner = open(schema);
  const [shared, own] = [secretOf("shared"), secretOf("own")];
  await tell(runner, "t", shared, 2);
  await runner.threads.fork("t", { newThreadId: "f" });
  expect((await runner.threads.get("f"))?.forkedFrom).toMatchObject({ threadId: "t" });
  await tell(runner, "t", own, 2);
  const before = await replayOf(runner, "f");
  expect(await runner.threads.erase({ threadId: "t" })).toMatchObject({ verified: true });
  expect(await rowsWith(schema, own)).toBe(0);
  expect(await replayOf(runner, "f")).toEqual(before);
  expect((await runner.threads.get("f"))?.forkedFrom).toBeNull();
  expect(await runner.threads.erase({ threadId: "f" })).toMatchObject({ verified: true });
  expect(await rowsWith(schema, shared)).toBe(0);
});

test("ends the run of a thread first, on whatever host", async () => {
  const schema = newSchema();
  const [owner, runner] = [open(schema), open(schema)];
  await Promise.all([owner.ready(), runner.ready()]);
  const secret = secretOf("secret");
  await withResource("ann", async () => {
    await tell(owner, "t", secret, 1);
    const agent = heldAgent();
    const running = runToEnd(owner, "t", `${secret}-held`, agent);
    await agent.halfway;
    await owner.flush();
    const erased = await runner.threads.erase({ resourceId: "ann" });
    expect(erased).toMatchObject({ threads: 1, verified: true });
    await running;
  });
  await owner.flush();
  expect(await rowsWith(schema, secret)).toBe(0);
});

test.each([
  ["a thread", { threadId: "t" }],
  ["a resource", { resourceId: "ann" }],
])("leaves nothing of %s whose only run executes", async (_, target) => {
  const schema = newSchema();
  // Journals are retained for the clients of another host.
  const [other, runner] = [open(schema), open(schema)];
  await Promise.all([runner.ready(), other.ready()]);
  const secret = secretOf("secret");
  await withResource("ann", async () => {
    const halfway = Promise.withResolvers<void>();
    const agent = scriptedAgent(async function* ({ input, aborted }) {
      yield started(input);
      yield { type: "CUSTOM", name: "said", value: `${secret} `.repeat(1000) };
      halfway.resolve();
      await aborted;
    });
    const run = runToEnd(runner, "t", "r", agent);
    await halfway.promise;
    await runner.flush();
    expect(await rowsWith(schema, secret)).toBeGreaterThan(0);
    expect(await runner.threads.erase(target)).toMatchObject({ verified: true });
    await run;
    expect(await runner.threads.get("t")).toBeNull();
  });
  expect(await rowsWith(schema, secret)).toBe(0);
});

test("is not verified while somebody can still see what was removed", async () => {
  const schema = newSchema();
  const runner = open(schema);
  const secret = secretOf("secret");
  await tell(runner, "t", secret, 1);
  const reader = new Client({ connectionString: url });
  await reader.connect();
  await reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
  const seen = () => reader.query(`SELECT events FROM ${schema}.runs`);
  expect((await seen()).rows).toHaveLength(1);
  const erased = await runner.threads.erase({ threadId: "t" });
  expect(erased).toEqual({ threads: 1, runs: 1, verified: false });
  expect((await seen()).rows).toHaveLength(1);
  await reader.end();
  expect(await rowsWith(schema, secret)).toBe(0);
});

test("is not verified where the user may not clean the tables", async () => {
  const schema = newSchema();
  await open(schema).ready();
  const user = `user_${randomUUID().replaceAll("-", "")}`;
  await server.query(`CREATE ROLE ${user} LOGIN PASSWORD 'secret'`, url);
  await server.query(`GRANT USAGE ON SCHEMA ${schema} TO ${user}`, url);
  const rights = "SELECT, INSERT, UPDATE, DELETE";
  await server.query(`GRANT ${rights} ON ALL TABLES IN SCHEMA ${schema} TO ${user}`, url);
  onTestFinished(async () => {
    await server.query(`DROP OWNED BY ${user}`, url);
    await server.query(`DROP ROLE ${user}`, url);
  });
  const as = new URL(url);
  as.username = user;
  as.password = "secret";
  const runner = open(schema, as.href);
  await tell(runner, "t", secretOf("secret"), 1);
  const erased = await runner.threads.erase({ threadId: "t" });
  expect(erased).toEqual({ threads: 1, runs: 1, verified: false });
  await runner.close();
});
