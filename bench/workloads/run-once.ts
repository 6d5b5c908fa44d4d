import type { RunAgentInput } from "@ag-ui/core";
import type { RunnableAgent } from "../../src/index.ts";
import type { BenchRunner } from "../peers/bench-runner.ts";

/** Runs once and resolves when the stream completes: the milliseconds until its first event. */
export function runOnce(
  runner: BenchRunner,
  agent: RunnableAgent,
  input: RunAgentInput,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    let firstEventMs = 0;
    runner.run({ threadId: input.threadId, agent, input }).subscribe({
      next: (event) => {
        if (firstEventMs === 0) firstEventMs = performance.now() - startedAt;
        if (event.type === "RUN_ERROR") reject(new Error(`a run failed: ${JSON.stringify(event)}`));
      },
      error: reject,
      complete: () => resolve(firstEventMs),
    });
  });
}
