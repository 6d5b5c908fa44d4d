import type { RunnableAgent, SqliteAgentRunner } from "../../src/index.ts";
import { DirectAgent, inputOf } from "../workloads/agents.ts";

const EVENTS_PER_RUN = 24;

const agent: RunnableAgent = new DirectAgent(EVENTS_PER_RUN);

export interface TimedRun {
  /** From `run()` to the first event. */
  readonly claimMs: number;
  /** From the last event to the completion. */
  readonly finishMs: number;
}

/** Runs once. Rejects if the run ends with an error. */
export function timedRun(runner: SqliteAgentRunner, threadId: string): Promise<TimedRun> {
  const input = inputOf({ threadId, runId: crypto.randomUUID() });
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    let firstAt = 0;
    let lastAt = 0;
    runner.run({ threadId, agent, input }).subscribe({
      next: (event) => {
        lastAt = performance.now();
        if (firstAt === 0) firstAt = lastAt;
        if (event.type === "RUN_ERROR") reject(new Error(`a run failed: ${JSON.stringify(event)}`));
      },
      error: reject,
      complete: () =>
        resolve({ claimMs: firstAt - startedAt, finishMs: performance.now() - lastAt }),
    });
  });
}

/** The milliseconds until a client has all events of a thread, and the type of the last one. */
export function timedConnect(
  runner: SqliteAgentRunner,
  threadId: string,
): Promise<{ readonly ms: number; readonly events: number; readonly last: string }> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    let events = 0;
    let last = "";
    runner.connect({ threadId }).subscribe({
      next: ({ type }) => {
        events++;
        last = String(type);
      },
      error: reject,
      complete: () => resolve({ ms: performance.now() - startedAt, events, last }),
    });
  });
}

/** The milliseconds of a call. */
export async function timed(call: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await call();
  return performance.now() - startedAt;
}
