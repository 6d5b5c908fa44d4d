import { AsyncLocalStorage } from "node:async_hooks";
import {
  type EVERY_RESOURCE,
  type RunnableAgent,
  type SqliteAgentRunner,
  type SqliteAgentRunnerOptions,
  withResource,
} from "../../src/index.ts";
import { openRunner, replayOf, runToEnd, watch } from "./open-runner.ts";
import { puppetAgent } from "./puppet-agent.ts";
import { answeringAgent, finished, inputOf, started, text } from "./scripted-agent.ts";
import { tempDatabase } from "./temp-file.ts";

/** A resource, or null for a call outside any `withResource`. */
export type Who = string | null;

const outside = new AsyncLocalStorage<void>();

export function as<T>(who: Who | typeof EVERY_RESOURCE, fn: () => T): T {
  return who === null ? outside.exit(fn) : withResource(who, fn);
}

export const NOT_FOUND = [
  { type: "RUN_ERROR", code: "THREAD_NOT_FOUND", message: "there is no such thread" },
];
export const OTHERS: readonly Who[] = ["bob", "ANN", "ann ", null];
export const POLICIES = ["throw", "reject", "supersede", "enqueue"] as const;
const ids = { threadId: "t", runId: "live" };

export function start(runner: SqliteAgentRunner, who: Who, runId: string, threadId = "t") {
  const agent = puppetAgent();
  const input = inputOf(threadId, runId);
  const watched = as(who, () => watch(runner.run({ threadId, agent, input })));
  return { agent, ...watched };
}

export const runAs = (runner: SqliteAgentRunner, who: Who, runId: string, threadId = "t") =>
  as(who, () => runToEnd(runner, threadId, runId, answeringAgent()));

export const replayAs = (
  runner: SqliteAgentRunner,
  who: Who | typeof EVERY_RESOURCE,
  threadId = "t",
) => as(who, () => replayOf(runner, threadId));

export function failingAtOnce(): RunnableAgent {
  const agent = puppetAgent();
  agent.fail(new Error("failed before it emitted"));
  return agent;
}

/** Ann's thread "t", with a stored run and a run that executes. */
export async function annsThread(options: SqliteAgentRunnerOptions = {}) {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, ...options });
  await runAs(runner, "ann", "stored");
  const live = start(runner, "ann", "live");
  await live.agent.started;
  live.agent.emit(started(ids), ...text("m", "for ann alone"));
  await runner.flush();
  const finish = async () => {
    live.agent.emit(finished(ids));
    live.agent.finish();
    return live.done;
  };
  return { dbPath, runner, live, finish };
}
