// A fresh process on a file that other processes have left. It opens the file, replays every thread,
// starts a run on each, and replays them again.

import Database from "better-sqlite3";
import { lastValueFrom, toArray } from "rxjs";
import type { EventLike } from "../../src/events/event.ts";
import { SqliteAgentRunner } from "../../src/index.ts";
import { answeringAgent, inputOf } from "../support/scripted-agent.ts";
import { LogWriter, now } from "./log.ts";
import { readOrders } from "./orders.ts";

const orders = readOrders();
const log = new LogWriter(orders.logPath);
const { dbPath, threadIds } = orders;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const runner = new SqliteAgentRunner({ dbPath, logger: quiet });
await runner.ready();

const db = new Database(dbPath, { readonly: true });
const running = db.prepare<[], number>("SELECT count(*) FROM run_state WHERE is_running = 1");
log.write({ what: "opened", running: running.pluck().get() ?? 0 });
db.close();

async function replay(threadId: string): Promise<void> {
  const startedAt = now();
  const events = await lastValueFrom(runner.connect({ threadId }).pipe(toArray()));
  log.write({
    what: "connected",
    threadId,
    startedAt,
    events: events as unknown as EventLike[],
  });
}

async function run(threadId: string): Promise<void> {
  const ids = { threadId, runId: `${orders.name}.${threadId}` };
  log.write({ what: "requested", ...ids });
  const agent = answeringAgent();
  const input = inputOf(threadId, ids.runId);
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

await Promise.all(threadIds.map(replay));
await Promise.all(threadIds.map(run));
await Promise.all(threadIds.map(replay));
await runner.close();
log.close();
