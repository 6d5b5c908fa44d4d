// A process that keeps its threads busy until its stdin ends. Then it lets its runs end, and closes.
// Its log has every detail. On stdout, it prints a line for the events that the parent waits for.
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import type { BaseEvent } from "@ag-ui/core";
import type { EventLike } from "../../src/events/event.ts";
import { isTerminal } from "../../src/events/event.ts";
import type { Logger } from "../../src/index.ts";
import { Random } from "../support/random.ts";
import { inputOf } from "../support/scripted-agent.ts";
import {
  nameOf,
  type Plan,
  planAgain,
  planLate,
  planRetry,
  planRun,
  planShort,
  play,
  type RunIds,
} from "./agents.ts";
import { LogWriter, now } from "./log.ts";
import { type ChaosOrders, openRunner } from "./open-runner.ts";
import { OPEN_SECOND_RUNNER, readOrders } from "./orders.ts";

/** Agents that ignore their abort are cut off after a short time. */
const STOP_TIMEOUT_MS = 60;
const LISTENERS = 2;
/** Errors of a store that cannot write for a while. */
const SHY_AFTER: ReadonlySet<unknown> = new Set(["BUSY", "WRITER_DIED", "NO_WRITER"]);
/** The share of the times that a client connects, in which it stops the run that it finds. */
const STOPPED = 0.15;

const orders = readOrders<ChaosOrders>();
const log = new LogWriter(orders.logPath);
let ending = false;
const commands = createInterface({ input: process.stdin });
commands.once("close", () => {
  ending = true;
});

const tell = (line: string) => void process.stdout.write(`${line}\n`);

function trouble(fields: object, message: string): void {
  const { code, runId, err } = fields as { code?: string; runId?: string; err?: { code?: string } };
  const known = code ?? err?.code ?? null;
  log.write({ what: "trouble", code: known, runId: runId ?? null, message });
  tell(`trouble ${known}`);
}

const logger: Logger = { debug() {}, info() {}, warn: trouble, error: trouble };
const { leaseMs, lingerMs, onConcurrentRun } = orders;
const runner = openRunner(orders, {
  leaseMs,
  lingerMs,
  logger,
  onConcurrentRun,
  stopTimeoutMs: STOP_TIMEOUT_MS,
});

function agentOf(run: RunIds, plan: Plan) {
  const abort = new AbortController();
  const runId = nameOf(run);
  let ended = false;
  const end = () => {
    if (!ended) log.write({ what: "agent-ended", runId });
    ended = true;
  };
  const agent = {
    agentId: plan.shape,
    async runAgent(_input: unknown, { onEvent }: { onEvent(params: { event: BaseEvent }): void }) {
      log.write({ what: "agent-started", threadId: run.threadId, runId, shape: plan.shape });
      try {
        await play(plan, run, abort.signal, (event) => {
          if (!ended) log.write({ what: "emit", runId, event });
          onEvent({ event: event as unknown as BaseEvent });
        });
      } finally {
        end();
      }
    },
    abortRun() {
      log.write({ what: "aborted", runId });
      abort.abort();
    },
  };
  return { agent, end };
}

/** Resolves with whether the run was refused. */
function runOnce(run: RunIds, plan: Plan): Promise<boolean> {
  const { agent, end } = agentOf(run, plan);
  const { threadId } = run;
  const runId = nameOf(run);
  log.write({ what: "requested", threadId, runId, yields: onConcurrentRun === "supersede" });
  let refused = false;
  let failed = false;
  return new Promise((resolve) => {
    const done = (error?: string) => {
      log.write({ what: "completed", runId, ...(error !== undefined && { error }) });
      tell("run");
      if (failed && !ending) setTimeout(() => resolve(refused), orders.shyMs);
      else resolve(refused);
    };
    runner.run({ threadId, agent, input: inputOf(threadId, run.runId) }).subscribe({
      next: (raw) => {
        const event = raw as unknown as EventLike;
        log.write({ what: "saw", runId, event });
        refused = event.code === "THREAD_ALREADY_RUNNING";
        failed = SHY_AFTER.has(event.code);
        // Even if the agent ignores the abort, the run ends here for the runner.
        if (isTerminal(event)) end();
      },
      error: (error: unknown) => done(String(error)),
      complete: () => done(),
    });
    if (plan.stopAfterMs !== null) {
      // A lost store cannot be read for runs of other processes.
      const stop = () =>
        runner.stop({ threadId, runId: run.runId }).catch((error) => trouble(error, "no stop"));
      setTimeout(() => void stop(), plan.stopAfterMs);
    }
  });
}

async function converse(threadId: string): Promise<void> {
  const random = new Random(orders.seed, orders.name, threadId);
  for (let count = 0; !ending; count++) {
    const run = { threadId, runId: `${orders.name}.${threadId}.${count}` };
    const isLate = orders.lateThreadIds.includes(threadId);
    const plan = isLate ? planLate(run, random) : planRun(run, random, orders.mix);
    const refused = await runOnce(run, plan);
    await pause(refused ? random.integer(10, 40) : random.integer(0, 10));
  }
}

/** Clients that use few run ids, and send a request twice when the answer takes long. */
async function converseAgain(threadId: string, runIds: readonly string[]): Promise<void> {
  const random = new Random(orders.seed, orders.name, threadId);
  for (let count = 0; !ending; count++) {
    const runName = `${orders.name}.${threadId}.${count}`;
    const run = { threadId, runId: random.pick(runIds), runName };
    const posts = [runOnce(run, planAgain(run, random))];
    if (random.chance(0.5)) {
      const again = { ...run, runName: `${runName}.again` };
      await pause(random.integer(0, 30));
      posts.push(runOnce(again, planAgain(again, random)));
    }
    const refused = await Promise.all(posts);
    await pause(refused.includes(true) ? random.integer(5, 20) : random.integer(0, 10));
  }
}

/**
 * Acts like a client that got no answer and sends the same run to another process. Sometimes another
 * run comes before it, and finds the thread's owner dead.
 */
async function retry(run: RunIds): Promise<void> {
  const random = new Random(orders.seed, run.runId);
  const { threadId } = run;
  if (random.integer(0, 1) === 1) {
    const first = { threadId, runId: `${orders.name}.${threadId}.before-${run.runId}` };
    await runUntilTaken(first, planShort(first, random));
  }
  await runUntilTaken(run, planRetry(run, orders.name, random));
}

async function runUntilTaken(run: RunIds, plan: Plan): Promise<void> {
  while (await runOnce(run, plan)) await pause(20);
}

async function listen(listener: number): Promise<void> {
  const random = new Random(orders.seed, orders.name, "listener", listener);
  while (!ending) {
    const threadId = random.pick(orders.threadIds);
    const stops = orders.stopsOthers && random.chance(STOPPED);
    const stopAfterMs = random.integer(5, 120);
    const connected = connectOnce(threadId);
    if (stops) {
      await pause(stopAfterMs);
      if (await stopAny(threadId)) tell("stopped");
    }
    await connected;
    await pause(random.integer(5, 60));
  }
}

/** Stops the run on the thread, whatever process executes it. Whether there was one. */
async function stopAny(threadId: string): Promise<boolean> {
  try {
    return (await runner.stop({ threadId })) === true;
  } catch (error) {
    trouble(error as object, "no stop");
    return false;
  }
}

function connectOnce(threadId: string): Promise<void> {
  const startedAt = now();
  const events: EventLike[] = [];
  return new Promise((resolve) => {
    const done = (error?: string) => {
      const failed = error === undefined ? {} : { error };
      log.write({ what: "connected", threadId, startedAt, events, ...failed });
      resolve();
    };
    runner.connect({ threadId }).subscribe({
      next: (event) => events.push(event as unknown as EventLike),
      error: (error: unknown) => done(String(error)),
      complete: () => done(),
    });
  });
}

/** Acts like a hot reload, which forgets the old runner. */
async function openSecondRunner(): Promise<void> {
  secondRunner = openRunner(orders, { leaseMs, logger });
  await secondRunner.ready();
  log.write({ what: "second-runner" });
  tell("second-runner");
}

tell("begun");
let secondRunner: ReturnType<typeof openRunner> | null = null;
const told: Promise<void>[] = [];
commands.on("line", (line) => {
  told.push(line === OPEN_SECOND_RUNNER ? openSecondRunner() : retry(JSON.parse(line) as RunIds));
});
await Promise.all([
  ...orders.threadIds.map((threadId) =>
    orders.runIds === null ? converse(threadId) : converseAgain(threadId, orders.runIds),
  ),
  ...Array.from({ length: LISTENERS }, (_, at) => listen(at)),
]);
await Promise.all(told);
await (secondRunner as ReturnType<typeof openRunner> | null)?.close();
await runner.close();
log.close();
process.stdin.destroy();
