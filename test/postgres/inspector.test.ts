import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { PostgresAgentRunner } from "../../src/postgres.ts";
import { Inspector } from "../support/inspector.ts";
import { collectingLogger, runToEnd, watch } from "../support/open-runner.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { answeringAgent, heldAgent, inputOf } from "../support/scripted-agent.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

test("the inspector shows threads, runs, a live run and its holder, and stops it", async () => {
  const url = await server.newDatabase();
  const runner = new PostgresAgentRunner({ connectionString: url, logger: collectingLogger() });
  onTestFinished(() => runner.close().catch(() => undefined));
  await runToEnd(runner, "a/b \\ \0", "r1", answeringAgent());
  for (const runId of ["one", "same", "same"]) await runToEnd(runner, "t", runId, answeringAgent());

  const inspector = await Inspector.start(url);
  expect(await inspector.get("api/database", {})).toMatchObject({ kind: "postgres", file: null });
  expect(JSON.stringify(await inspector.get("api/database", {}))).not.toContain("secret");
  const odd = await inspector.get("api/thread", { thread: "a/b \\ \0" });
  expect(odd.thread).toMatchObject({ id: "a/b \\ \0", runs: 1 });
  const { runs } = await inspector.get("api/runs", { thread: "t" });
  expect(runs.map(({ runId }) => runId)).toEqual(["one", "same", "same"]);
  const query = { thread: "t", epoch: String(runs[1]?.epoch), run: "same" };
  expect(await inspector.get("api/run", query)).toMatchObject({
    previous: { epoch: runs[0]?.epoch, runId: "one" },
    next: { epoch: runs[2]?.epoch, runId: "same" },
  });
  const did = await inspector.get("api/run/messages", query);
  expect(did.added.map(({ id }) => id)).toEqual(["question-same", "answer-same"]);
  expect((await inspector.get("api/messages", query)).total).toBe(did.before + 2);
  expect((await inspector.get("api/totals", {})).threads).toBe(2);

  const run = watch(runner.run({ threadId: "t", agent: heldAgent(), input: inputOf("t", "live") }));
  await run.until(({ type }) => type === "TEXT_MESSAGE_CONTENT");
  const heard: string[] = [];
  for await (const { name, data } of inspector.live("t")) {
    if (name === "thread" && data.live !== null && heard.length === 0) {
      const { held, instances } = await inspector.get("api/holders", {});
      expect(held).toMatchObject([{ threadId: "t", runId: "live", isAlive: true }]);
      const owner = instances.find(({ id }) => id === held[0]?.instanceId);
      expect(owner).toMatchObject({ isOwn: false, isAlive: true, held: 1, pid: null });
    }
    if (name === "events") {
      heard.push(...data.items.map(({ type }) => type));
      const isHalfway = heard.at(-1) === "TEXT_MESSAGE_CONTENT";
      if (isHalfway) await inspector.post("api/stop", { thread: "t", runId: "live" });
    }
    if (name === "end") break;
  }
  expect(heard[0]).toBe("RUN_STARTED");
  expect(heard.at(-1)).toBe("RUN_FINISHED");
  await run.done;
  const { code } = await inspector.end();
  expect(code).toBe(0);
});
