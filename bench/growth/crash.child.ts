// The process that is killed: `node crash.child.ts DATABASE THREADS`, the ids of the threads as JSON.
import { type BaseEvent, EventType } from "@ag-ui/core";
import { type RunnableAgent, SqliteAgentRunner } from "../../src/index.ts";
import { inputOf } from "../workloads/agents.ts";

const [dbPath = "", threads = "[]"] = process.argv.slice(2);
const runner = new SqliteAgentRunner({ dbPath });
await runner.ready();

/** Says something, and never ends. */
class EndlessAgent implements RunnableAgent {
  readonly agentId = "bench";

  async runAgent(
    { threadId, runId }: { readonly threadId: string; readonly runId: string },
    { onEvent }: { onEvent(params: { event: BaseEvent }): void },
  ): Promise<void> {
    const messageId = `${runId}-answer`;
    onEvent({ event: { type: EventType.RUN_STARTED, threadId, runId } });
    onEvent({ event: { type: EventType.TEXT_MESSAGE_START, messageId, role: "assistant" } });
    for (let at = 0; at < 10; at++) {
      const delta = `word ${at} `;
      onEvent({ event: { type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta } });
    }
    return new Promise(() => undefined);
  }

  abortRun(): void {}
}

const begun = (JSON.parse(threads) as readonly string[]).map((threadId) => {
  const input = inputOf({ threadId, runId: crypto.randomUUID() });
  const { promise, resolve } = Promise.withResolvers<void>();
  runner.run({ threadId, agent: new EndlessAgent(), input }).subscribe(() => resolve());
  return promise;
});
await Promise.all(begun);
await runner.flush();
process.send?.("in flight");
// The parent process is gone.
process.on("disconnect", () => process.exit());
