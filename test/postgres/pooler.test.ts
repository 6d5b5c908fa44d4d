import "../support/leak-guard.ts";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { PostgresAgentRunner, type PostgresAgentRunnerOptions } from "../../src/postgres.ts";
import { freePort } from "../support/free-port.ts";
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
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started } from "../support/scripted-agent.ts";
import { tempDirectory } from "../support/temp-file.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

function isInstalled(): boolean {
  try {
    execFileSync("pgbouncer", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** The URL of a PgBouncer in transaction mode before a database: each transaction gets another connection. */
async function pooled(url: string): Promise<string> {
  const { hostname, port, username, password, pathname } = new URL(url);
  const listenPort = await freePort();
  const file = join(tempDirectory(), "pgbouncer.ini");
  const target = `host=${hostname} port=${port} user=${username} password=${password}`;
  const settings = {
    listen_addr: "127.0.0.1",
    listen_port: listenPort,
    unix_socket_dir: "",
    auth_type: "any",
    pool_mode: "transaction",
    default_pool_size: 5,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  const content = ["[databases]", `${pathname.slice(1)} = ${target}`, "[pgbouncer]", ...lines, ""];
  writeFileSync(file, content.join("\n"));
  // It refuses to run as root, and reads its file before it becomes the other user.
  const isRoot = process.getuid?.() === 0;
  const args = isRoot ? ["-u", "nobody", file] : [file];
  const pooler = spawn("pgbouncer", args, { stdio: "ignore" });
  onTestFinished(async () => {
    pooler.kill("SIGKILL");
    await once(pooler, "exit");
  });
  await eventually(() => canConnect(listenPort));
  const through = new URL(url);
  through.host = `127.0.0.1:${listenPort}`;
  return through.href;
}

function open(options: PostgresAgentRunnerOptions) {
  const logger = collectingLogger();
  const runner = new PostgresAgentRunner({ lingerMs: 5, prepare: false, logger, ...options });
  onTestFinished(() => runner.close().catch(() => undefined));
  const warnings = () => logger.lines.filter(({ level }) => level === "warn");
  return { runner, warnings };
}

describe.skipIf(!isInstalled())("behind PgBouncer in transaction mode", () => {
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
