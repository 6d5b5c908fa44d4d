import "../support/leak-guard.ts";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { PostgresAgentRunner } from "../../src/postgres.ts";
import { collect, collectingLogger } from "../support/open-runner.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { answeringAgent, inputOf } from "../support/scripted-agent.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

function open(connectionString: string) {
  const runner = new PostgresAgentRunner({ connectionString, logger: collectingLogger() });
  onTestFinished(() => runner.close().catch(() => undefined));
  return runner;
}

const questions = (...runs: readonly string[]) => runs.map((run) => `question-${run}`);

/** Runs with the questions of these runs, and gives the ids of the messages that the thread did not know. */
async function newIn(runner: PostgresAgentRunner, runId: string, asked: readonly string[]) {
  const request = { threadId: "t", agent: answeringAgent(), input: inputOf("t", runId, asked) };
  const events = await collect(runner.run(request));
  expect(events.at(-1)?.type).toBe("RUN_FINISHED");
  const input = events[0]?.input as
    | { readonly messages: readonly { readonly id: string }[] }
    | undefined;
  return input?.messages.map(({ id }) => id);
}

const S = "durable_agent_runner";

test("a host that takes turns with another one knows what the other stored", async () => {
  const url = await server.newDatabase();
  const [a, b] = [open(url), open(url)];
  expect(await newIn(a, "1", questions("1"))).toEqual(questions("1"));
  expect(await newIn(b, "2", questions("1", "2"))).toEqual(questions("2"));
  expect(await newIn(b, "3", questions("1", "2", "3"))).toEqual(questions("3"));
  expect(await newIn(a, "4", questions("1", "2", "3", "4"))).toEqual(questions("4"));
});

test("the messages of many runs are packed, and known to a new host and after a purge", async () => {
  const url = await server.newDatabase();
  const runner = open(url);
  const runs = Array.from({ length: 40 }, (_, at) => String(at + 1));
  for (const run of runs) await newIn(runner, run, questions(run));
  const packs = await server.query(`SELECT up_to, messages FROM ${S}.messages`, url);
  expect(packs).toMatchObject([{ up_to: "32" }]);
  const other = open(url);
  expect(await newIn(other, "41", questions("1", "32", "33", "40", "41"))).toEqual(questions("41"));
  await runner.purge({ maxRunsPerThread: 2 });
  const fresh = open(url);
  expect(await newIn(fresh, "42", questions("1", "38", "39", "42"))).toEqual(questions("42"));
  // One that knew the thread before finds it changed.
  expect(await newIn(runner, "43", questions("2", "42", "43"))).toEqual(questions("43"));
});

test("a fork knows the messages of its runs, and none of later ones, packed or not", async () => {
  const url = await server.newDatabase();
  const runner = open(url);
  for (let run = 1; run <= 34; run++) await newIn(runner, String(run), questions(String(run)));
  const fork = await runner.threads.fork("t", { atRun: "20" });
  const input = inputOf(fork, "f", questions("1", "20", "21", "33", "f"));
  const events = await collect(runner.run({ threadId: fork, agent: answeringAgent(), input }));
  expect(events[0]?.input).toMatchObject({
    messages: questions("21", "33", "f").map((id) => ({ id })),
  });
});

test.runIf(process.env.POSTGRES_URL === undefined)(
  "after another server has taken the place of one, nothing counts as known that it does not have",
  async () => {
    const url = await server.newDatabase();
    const runner = open(url);
    await newIn(runner, "1", questions("1"));
    await newIn(runner, "2", questions("1", "2"));
    await server.own.kill();
    await server.own.start();
    // The second run was lost with the first server, and another host has run on the thread since.
    await server.query(
      `DELETE FROM ${S}.runs WHERE run_id = '2'; UPDATE ${S}.threads SET epoch = 1, runs = 1`,
      url,
    );
    const other = open(url);
    expect(await newIn(other, "3", questions("1", "3"))).toEqual(questions("3"));
    expect(await newIn(runner, "4", questions("1", "2", "3", "4"))).toEqual(questions("2", "4"));
  },
);
