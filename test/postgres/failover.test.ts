import "../support/leak-guard.ts";
import { chmodSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { PostgresAgentRunner } from "../../src/postgres.ts";
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
import { Cluster } from "../support/postgres-cluster.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started } from "../support/scripted-agent.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { tempDirectory } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };

/** A primary with a synchronous standby, and a name that leads to either. */
async function twoServers() {
  const directory = tempDirectory();
  // The servers run as another user.
  chmodSync(directory, 0o711);
  const cluster = await Cluster.start(directory);
  onTestFinished(() => cluster.remove());
  await cluster.addStandby();
  const { proxy, url } = await TcpProxy.before(cluster.primary.url);
  onTestFinished(() => proxy.close());
  const leadTo = (target: string) => {
    proxy.target = new URL(target);
    proxy.cut();
  };
  return { cluster, url, leadTo };
}

function open(connectionString: string): PostgresAgentRunner {
  const logger = collectingLogger();
  const runner = new PostgresAgentRunner({ connectionString, lingerMs: 5, logger });
  onTestFinished(() => runner.close().catch(() => undefined));
  return runner;
}

test("a standby is not used before it is promoted", async () => {
  const { cluster, url, leadTo } = await twoServers();
  leadTo(cluster.standby?.url ?? "");
  const runner = open(url);
  await expect(runner.ready()).rejects.toMatchObject({
    code: "CANNOT_CONNECT",
    message: expect.stringContaining("standby"),
  });
  const former = await cluster.promoteStandby();
  onTestFinished(() => former.remove());
  await runner.ready();
  expect((await runToEnd(runner, "t", "r", answeringAgent())).at(-1)?.type).toBe("RUN_FINISHED");
});

test("a promoted standby takes over a run in its middle, and the former primary, which is now a standby, is left", async () => {
  const { cluster, url, leadTo } = await twoServers();
  const runner = open(url);
  await runToEnd(runner, "t", "acknowledged", answeringAgent());
  const agent = puppetAgent();
  const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
  await agent.started;
  agent.emit(started(ids), opening("m"), delta("m", "before "));
  await runner.flush();
  await cluster.primary.kill();
  const former = await cluster.promoteStandby();
  onTestFinished(() => former.remove());
  // The name still leads to the former primary, which is started again and refuses writes.
  former.beStandby();
  await former.start();
  agent.emit(delta("m", "meanwhile "));
  await run.until(says("meanwhile "));
  await eventually(() => /standby/.test(runner.stats().lastError?.message ?? ""));
  leadTo(cluster.primary.url);
  agent.emit(delta("m", "after"), closing("m"), finished(ids));
  agent.finish();
  expect((await run.done).at(-1)?.type).toBe("RUN_FINISHED");
  const replay = await replayOf(runner, "t");
  expect(runIdsIn(replay)).toEqual(["acknowledged", "r"]);
  expect(spokenIn(replay)).toBe("answer to acknowledgedbefore meanwhile after");
  const stored = await cluster.query("SELECT run_id FROM durable_agent_runner.runs ORDER BY epoch");
  expect(stored).toEqual([{ run_id: "acknowledged" }, { run_id: "r" }]);
});
