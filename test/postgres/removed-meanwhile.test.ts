import "../support/leak-guard.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { withResource } from "../../src/index.ts";
import type { PostgresAgentRunner } from "../../src/postgres.ts";
import { brakeSchema } from "../support/brake.ts";
import { closing, delta, opening } from "../support/message-events.ts";
import { replayOf, runIdsIn, runToEnd, watch } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { behindProxy, openHost } from "../support/postgres-hosts.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";

/** Threads that other hosts remove, and make again, while this one reads or removes them. */
let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const SCHEMA = "durable_agent_runner";

/** Adds so many copies of each run to its thread. */
async function copyRuns(url: string, copies: number): Promise<void> {
  await server.query(
    `INSERT INTO ${SCHEMA}.runs (thread_id, epoch, run_id, finished_at, input, events)
     SELECT thread_id, epoch + at, 'copy-' || at, finished_at, input, events
     FROM ${SCHEMA}.runs CROSS JOIN generate_series(1, ${copies}) AS at`,
    url,
  );
}

async function told(events: AsyncIterable<object>): Promise<object[]> {
  const all: object[] = [];
  for await (const event of events) all.push(event);
  return all;
}

/** A run that is journaled before it ends. */
async function runInParts(runner: PostgresAgentRunner, threadId: string, runId: string) {
  const ids = { threadId, runId };
  const agent = puppetAgent();
  const run = watch(runner.run({ threadId, agent, input: inputOf(threadId, runId) }));
  await agent.started;
  agent.emit(started(ids), opening("m"), delta("m", "before "));
  await runner.flush();
  agent.emit(closing("m"), finished(ids));
  agent.finish();
  await run.done;
}

test("a fork copies nothing into the fork of another host, which took this one for dead", async () => {
  const url = await server.newDatabase();
  const runner = openHost(url);
  await runToEnd(runner, "t", "r", answeringAgent());
  await copyRuns(url, 1000);
  await server.query(`INSERT INTO ${SCHEMA}.hosts VALUES ('another', 60000, 1)`, url);
  const release = brakeSchema(url, SCHEMA, "INSERT");
  const forked = runner.threads.fork("t", { newThreadId: "f" }).catch(({ code }) => code);
  const copied = `SELECT 1 FROM ${SCHEMA}.runs WHERE thread_id = 'f'`;
  await eventually(async () => (await server.query(copied, url)).length > 0);
  const taken = `UPDATE ${SCHEMA}.threads SET unfinished_by = 'another' WHERE thread_id = 'f'`;
  await server.query(`${taken}; DELETE FROM ${SCHEMA}.runs WHERE thread_id = 'f'`, url);
  expect(await forked).toBe("THREAD_NOT_FOUND");
  release();
  expect(await server.query(copied, url)).toEqual([]);
});

test("an erasure that was overtaken leaves the next thread of the id alone", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const [slow, fast] = [openHost(url), openHost(direct)];
  await runToEnd(fast, "t", "r", answeringAgent());
  await copyRuns(direct, 120);
  await slow.ready();
  proxy.delayMs = 200;
  const begun = `SELECT 1 FROM ${SCHEMA}.threads WHERE unfinished = 'removal'`;
  const erased = slow.threads.erase({ threadId: "t" });
  await eventually(async () => (await server.query(begun, direct)).length > 0);
  await fast.threads.delete("t");
  await runToEnd(fast, "t", "next", answeringAgent());
  proxy.delayMs = 0;
  await erased;
  expect(runIdsIn(await replayOf(fast, "t"))).toEqual(["next"]);
});

test("an erasure is whole when another host deletes the thread meanwhile", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const [slow, fast] = [openHost(url), openHost(direct)];
  await runInParts(fast, "t", "r");
  await slow.ready();
  proxy.delayMs = 300;
  const found = proxy.whenSent("dar_lock_thread");
  const erased = slow.threads.erase({ threadId: "t" });
  await found;
  await fast.threads.delete("t");
  proxy.delayMs = 0;
  expect(await erased).toMatchObject({ threads: 0 });
  expect(await server.query(`SELECT 1 FROM ${SCHEMA}.journal`, direct)).toEqual([]);
});

test("a thread that is removed and made again for another user meanwhile shows nothing of that one", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const runner = openHost(url);
  await withResource("ann", () => runToEnd(runner, "t", "r", answeringAgent()));
  const indexed = `SELECT 1 FROM ${SCHEMA}.thread_facts WHERE up_to > 0`;
  await eventually(async () => (await server.query(indexed, direct)).length > 0);
  await server.query(`DELETE FROM ${SCHEMA}.thread_facts`, direct);
  proxy.delayMs = 500;
  const read = proxy.whenSent("dar_summaries");
  const told = withResource("ann", () => runner.threads.get("t"));
  await read;
  // As other hosts do: the epochs of the new thread are higher.
  await server.query(
    `UPDATE ${SCHEMA}.threads SET resource_id = 'ben', epoch = 9, created_at = clock_timestamp();
     UPDATE ${SCHEMA}.runs SET epoch = 9, run_id = 'of ben'`,
    direct,
  );
  expect(await told).toBeNull();
  proxy.delayMs = 0;
});

test("the events of a thread that is removed and made again meanwhile have none of the new values", async () => {
  const direct = await server.newDatabase();
  const { proxy, url } = await behindProxy(direct);
  const runner = openHost(url);
  const snapshot = { said: "by ann ".repeat(1000) };
  const agent = scriptedAgent(function* ({ input }) {
    yield started(input);
    yield { type: "STATE_SNAPSHOT", snapshot };
    yield finished(input);
  });
  await runToEnd(runner, "t", "r", agent);
  proxy.delayMs = 500;
  const read = proxy.whenSent("dar_page");
  const events = told(runner.threads.events("t"));
  await read;
  // As other hosts do: the logs of the new thread begin anew.
  const [changed] = await server.query(
    `UPDATE ${SCHEMA}.shared_values SET text = replace(text, 'ann', 'ben') RETURNING text`,
    direct,
  );
  expect(changed.text).toContain("by ben");
  await server.query(`UPDATE ${SCHEMA}.runs SET epoch = 9`, direct);
  expect(JSON.stringify(await events)).not.toContain("by ben");
  proxy.delayMs = 0;
});
