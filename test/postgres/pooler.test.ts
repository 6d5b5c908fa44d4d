import "../support/leak-guard.ts";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { PostgresAgentRunner, type PostgresAgentRunnerOptions } from "../../src/postgres.ts";
import { closing, delta, opening, says } from "../support/message-events.ts";
import {
  collectingLogger,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  watch,
} from "../support/open-runner.ts";
import { isPgBouncerInstalled, PgBouncer } from "../support/pgbouncer.ts";
import { eventually } from "../support/poll.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started } from "../support/scripted-agent.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

async function pooled(url: string): Promise<string> {
  const pooler = await PgBouncer.before(url);
  onTestFinished(() => pooler.remove());
  return pooler.url;
}

function open(options: PostgresAgentRunnerOptions) {
  const logger = collectingLogger();
  const runner = new PostgresAgentRunner({ lingerMs: 5, prepare: false, logger, ...options });
  onTestFinished(() => runner.close().catch(() => undefined));
  const warnings = () => logger.lines.filter(({ level }) => level === "warn");
  return { runner, warnings };
}

describe.skipIf(!isPgBouncerInstalled())("behind PgBouncer in transaction mode", () => {
  test.each([
    ["it looks for runs of other hosts, and says so", false],
    ["a direct connection for LISTEN is used where one is given", true],
  ])("%s", async (_, isDirect) => {
    const direct = await server.newDatabase();
    const connectionString = await pooled(direct);
    const listen = isDirect ? { listenUrl: direct } : {};
    const owner = open({ connectionString, ...listen });
    const other = open({ connectionString, ...listen });
    await runToEnd(owner.runner, "t", "first", answeringAgent());
    await other.runner.ready();
    const ids = { threadId: "t", runId: "r" };
    const agent = puppetAgent();
    const run = watch(owner.runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    agent.emit(started(ids), opening("m"));
    await owner.runner.flush();
    const follower = watch(other.runner.connect({ threadId: "t" }));
    for (const word of ["one ", "two ", "three "]) {
      agent.emit(delta("m", word));
      await follower.until(says(word));
    }
    agent.emit(closing("m"), finished(ids));
    agent.finish();
    await run.done;
    await follower.done;
    expect(spokenIn(await replayOf(other.runner, "t"))).toBe("answer to firstone two three ");
    if (!isDirect) await eventually(() => other.warnings().length > 0);
    expect(other.warnings().map(({ message }) => message)).toEqual(
      isDirect ? [] : [expect.stringContaining("LISTEN does not work")],
    );
  });

  test("threads are forked, purged and erased", async () => {
    const direct = await server.newDatabase();
    const { runner } = open({ connectionString: await pooled(direct), listenUrl: direct });
    for (const threadId of ["t", "other"]) {
      for (const runId of ["r1", "r2", "r3"]) {
        await runToEnd(runner, threadId, runId, answeringAgent());
      }
    }
    await runner.threads.fork("t", { newThreadId: "f", atRun: "r2" });
    expect(await runner.purge({ maxRunsPerThread: 2 })).toMatchObject({ threads: 0, runs: 2 });
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r2", "r3"]);
    const erased = await runner.threads.erase({ threadId: "t" });
    expect(erased).toEqual({ threads: 1, runs: 2, verified: true });
    expect(runIdsIn(await replayOf(runner, "f"))).toEqual(["r1", "r2"]);
    await runner.threads.delete("other");
    expect((await runner.threads.list()).threads.map(({ id }) => id)).toEqual(["f"]);
  });
});
