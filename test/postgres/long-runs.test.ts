import "../support/leak-guard.ts";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { PostgresAgentRunner } from "../../src/postgres.ts";
import { verifyWithClients } from "../events/clients.ts";
import { noting, shownBy } from "../support/folded-talk.ts";
import { closing, delta, opening } from "../support/message-events.ts";
import { collectingLogger, replayOf, runToEnd, spokenIn, watch } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { finished, inputOf, scriptedAgent, started } from "../support/scripted-agent.ts";
import { threadsStarted } from "../support/threads-started.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const ids = { threadId: "t", runId: "r" };

function open(connectionString: string) {
  const logger = collectingLogger();
  const runner = new PostgresAgentRunner({ connectionString, lingerMs: 5, logger });
  onTestFinished(() => runner.close().catch(() => undefined));
  return runner;
}

test("a run of megabytes is compacted in a thread of its own, and replayed whole", async () => {
  const runner = open(await server.newDatabase());
  const threads = threadsStarted();
  const agent = puppetAgent();
  const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
  await agent.started;
  agent.emit(started(ids), opening("m"));
  let said = "";
  for (let part = 0; part < 40; part++) {
    const words = `${part} ä\u{1f600}`.repeat(8000);
    said += words;
    agent.emit(delta("m", words));
    await runner.flush();
  }
  expect(threads).toHaveLength(0);
  agent.emit(closing("m"), finished(ids));
  agent.finish();
  expect((await run.done).at(-1)?.type).toBe("RUN_FINISHED");
  expect(threads).toHaveLength(1);
  const replay = await replayOf(runner, "t");
  expect(spokenIn(replay)).toBe(said);
  await verifyWithClients(replay);
  // A second reader gets the run from the chunks of the first, or cuts it again.
  expect(await replayOf(runner, "t")).toEqual(replay);
});

test("one event may have megabytes, NUL and half a surrogate pair; a bigint is left out", async () => {
  const runner = open(await server.newDatabase());
  const value = { text: "\0\ud800 '\\".repeat(400_000), list: [1, null, "x"] };
  const agent = scriptedAgent(function* ({ input }) {
    yield started(input);
    yield { type: "CUSTOM", name: "large", value };
    yield { type: "CUSTOM", name: "number", value: { no: 2n ** 70n, yes: 1 } };
    yield finished(input);
  });
  expect((await runToEnd(runner, "t", "r", agent)).at(-1)?.type).toBe("RUN_FINISHED");
  const [large, number] = (await replayOf(runner, "t")).filter(({ type }) => type === "CUSTOM");
  expect(large?.value).toEqual(value);
  // JSON has no such number. It is lost alone.
  expect(number?.value).toEqual({ yes: 1 });
});

test("a view that was much work is kept, and a view that is none is made again", async () => {
  const url = await server.newDatabase();
  const runner = open(url);
  const runs = ["r1", "r2", "r3", "r4"];
  for (const id of runs) await runToEnd(runner, "t", id, noting());
  const all = runs.map((id) => `answer to ${id}. `).join("");
  expect(await shownBy(runner)).toBe(all);
  const kept = "SELECT octet_length(view) AS bytes FROM durable_agent_runner.views";
  await eventually(async () => (await server.query(kept, url)).length > 0);
  expect(await shownBy(runner)).toBe(all);
  await server.query("UPDATE durable_agent_runner.views SET view = '\\x00'", url);
  expect(await shownBy(runner)).toBe(all);
});
