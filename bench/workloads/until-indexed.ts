import { setTimeout as delay } from "node:timers/promises";
import type { SqliteAgentRunner } from "../../src/index.ts";
import { DirectAgent, inputOf } from "./agents.ts";
import { runOnce } from "./run-once.ts";

/** A word that is in one thread alone: the last that is indexed. */
export const RARE = "unmistakable";

/** Resolves when the words of all threads of a file are found. Adds one thread with one run. */
export async function untilIndexed(runner: SqliteAgentRunner, eventsPerRun: number): Promise<void> {
  const last = { threadId: "last", runId: "last" };
  await runOnce(runner, new DirectAgent(eventsPerRun), inputOf(last, [], RARE));
  while ((await runner.threads.list({ search: RARE })).threads.length === 0) await delay(100);
}
