import { onTestFinished } from "vitest";
import { PostgresAgentRunner, type PostgresAgentRunnerOptions } from "../../src/postgres.ts";
import { closing, delta, opening } from "./message-events.ts";
import { collectingLogger, watch } from "./open-runner.ts";
import { puppetAgent } from "./puppet-agent.ts";
import { finished, inputOf, started } from "./scripted-agent.ts";
import { TcpProxy } from "./tcp-proxy.ts";

/** A proxy that is closed after the test, and the URL that leads through it. */
export async function behindProxy(url: string) {
  const behind = await TcpProxy.before(url);
  onTestFinished(() => behind.proxy.close());
  return behind;
}

/** A host that is closed after the test. */
export function openHost(
  connectionString: string,
  options: Partial<PostgresAgentRunnerOptions> = {},
): PostgresAgentRunner {
  const logger = collectingLogger();
  const runner = new PostgresAgentRunner({ connectionString, lingerMs: 5, logger, ...options });
  onTestFinished(() => runner.close().catch(() => undefined));
  return runner;
}

/** A run on thread "t" in the middle of its message, of which each of the `words` is stored in a segment. */
export async function runInTheMiddle(
  runner: PostgresAgentRunner,
  { runId = "r", messageId = "m", words = ["before "] as readonly string[] } = {},
) {
  const ids = { threadId: "t", runId };
  const agent = puppetAgent();
  const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", runId) }));
  await agent.started;
  agent.emit(started(ids), opening(messageId));
  for (const word of words) {
    agent.emit(delta(messageId, word));
    await runner.flush();
  }
  const end = () => {
    agent.emit(closing(messageId), finished(ids));
    agent.finish();
    return run.done;
  };
  return { agent, run, end };
}
