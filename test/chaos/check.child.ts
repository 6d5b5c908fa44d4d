// A fresh process on a store that other processes have left. It opens the store, replays every thread,
// starts a run on each with all the messages that it was shown, and replays them again.
import type { Message } from "@ag-ui/core";
import { lastValueFrom, toArray } from "rxjs";
import type { EventLike } from "../../src/events/event.ts";
import { viewOf } from "../../src/events/view/thread-view.ts";
import { answeringAgent, inputOf } from "../support/scripted-agent.ts";
import { LogWriter, now } from "./log.ts";
import { type ChaosOrders, openRunner } from "./open-runner.ts";
import { readOrders } from "./orders.ts";
import { countRunning } from "./sqlite/count-running.ts";

const orders = readOrders<ChaosOrders>();
const log = new LogWriter(orders.logPath);
const { threadIds } = orders;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const runner = openRunner(orders, { logger: quiet });
await runner.ready();
// On a file, the kernel tells that all other processes are dead. Elsewhere a replay waits until it is sure.
if (orders.store === "sqlite") {
  log.write({ what: "opened", running: countRunning(orders.dbPath) });
}

async function replay(threadId: string): Promise<EventLike[]> {
  const startedAt = now();
  const shown = await lastValueFrom(runner.connect({ threadId }).pipe(toArray()));
  const events = shown as unknown as EventLike[];
  log.write({ what: "connected", threadId, startedAt, events });
  return events;
}

async function run(threadId: string, shown: readonly EventLike[]): Promise<void> {
  const ids = { threadId, runId: `${orders.name}.${threadId}` };
  log.write({ what: "requested", ...ids });
  const agent = answeringAgent();
  const asked = inputOf(threadId, ids.runId);
  const known = viewOf(shown).messages as unknown as Message[];
  const input = { ...asked, messages: [...known, ...asked.messages] };
  const { runAgent } = agent;
  agent.runAgent = async (agentInput, subscriber) => {
    log.write({ what: "agent-started", ...ids, shape: "answer" });
    await runAgent(agentInput, {
      ...subscriber,
      onEvent: (params) => {
        const event = params.event as unknown as EventLike;
        log.write({ what: "emit", runId: ids.runId, event });
        subscriber.onEvent(params);
      },
    });
    log.write({ what: "agent-ended", runId: ids.runId });
  };
  const stream = runner.run({ threadId, agent, input });
  await new Promise<void>((resolve, reject) => {
    stream.subscribe({
      next: (event) =>
        log.write({ what: "saw", runId: ids.runId, event: event as unknown as EventLike }),
      complete: resolve,
      error: reject,
    });
  });
  log.write({ what: "completed", runId: ids.runId });
}

const replays = await Promise.all(threadIds.map(replay));
const running = await Promise.all(threadIds.map((threadId) => runner.isRunning({ threadId })));
log.write({ what: "opened", running: running.filter(Boolean).length });
await Promise.all(threadIds.map((threadId, at) => run(threadId, replays[at] ?? [])));
await Promise.all(threadIds.map(replay));
await runner.close();
log.close();
