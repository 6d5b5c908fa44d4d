// A process that keeps its threads busy until its stdin ends. Then it lets its runs end, and closes.
// Commands on stdin: "reopen" closes its runner and opens another, "second" opens another runner beside
// it.
import { openSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import type { BaseEvent } from "@ag-ui/core";
import { type EventLike, isTerminal } from "../../src/events/event.ts";
import { type Logger, SqliteAgentRunner } from "../../src/index.ts";
import { type Plan, planRun, play, type RunIds } from "../chaos/agents.ts";
import { STORE_CODES } from "../chaos/runs.ts";
import { Random } from "../support/random.ts";
import { finished, inputOf, scriptedAgent, started, text } from "../support/scripted-agent.ts";
import { type Mark, readOrders } from "./orders.ts";

const orders = readOrders();
const marks = openSync(orders.markPath, "a");
const tell = (line: string) => void process.stdout.write(`${line}\n`);
const mark = (entry: Mark) => void writeSync(marks, JSON.stringify(entry));

let ending = false;
let leaving = false;
/** Runs whose failure was logged: their clients may not have got a second error. */
const inTrouble = new Set<string>();

function trouble(fields: object, message: string): void {
  const { runId, code } = fields as { runId?: string; code?: string };
  if (runId !== undefined) inTrouble.add(runId);
  tell(`trouble ${code ?? message}`);
}

const { dbPath, lingerMs, durability } = orders;
const logger: Logger = { debug() {}, info() {}, warn: trouble, error: trouble };
const open = () =>
  new SqliteAgentRunner({
    dbPath,
    lingerMs,
    durability,
    logger,
    onConcurrentRun: "reject",
    stopTimeoutMs: 60,
  });

function agentOf(run: RunIds, plan: Plan) {
  const abort = new AbortController();
  return {
    runAgent: (_input: unknown, { onEvent }: { onEvent(params: { event: BaseEvent }): void }) =>
      play(plan, run, abort.signal, (event) => onEvent({ event: event as unknown as BaseEvent })),
    abortRun: () => abort.abort(),
  };
}

function runOnce(runner: SqliteAgentRunner, run: RunIds, plan: Plan): Promise<void> {
  const { threadId, runId } = run;
  const planned = plan.steps.filter((step) => typeof step !== "number");
  mark({ what: "asked", threadId, runId, planned });
  const saw: EventLike[] = [];
  return new Promise((resolve) => {
    const done = (isWhole: boolean) => {
      const last = saw.at(-1);
      const isStored = last !== undefined && isTerminal(last) && !STORE_CODES.has(last.code);
      mark({ what: "completed", runId, kept: isWhole && isStored && !inTrouble.has(runId) });
      tell("run");
      resolve();
    };
    runner.run({ threadId, agent: agentOf(run, plan), input: inputOf(threadId, runId) }).subscribe({
      next: (raw) => {
        const event = raw as unknown as EventLike;
        saw.push(event);
        if (isTerminal(event)) mark({ what: "ended", runId, saw });
      },
      error: () => done(false),
      complete: () => done(true),
    });
    if (plan.stopAfterMs !== null) {
      // A store that cannot be read ends the run with its own error.
      const stop = () => runner.stop({ threadId, runId }).catch(() => false);
      setTimeout(stop, plan.stopAfterMs);
    }
  });
}

let lives = 0;

async function converse(runner: SqliteAgentRunner, threadId: string): Promise<void> {
  const random = new Random(orders.seed, orders.name, lives, threadId);
  for (let count = 0; !leaving && !ending; count++) {
    const run = { threadId, runId: `${orders.name}.${lives}.${threadId}.${count}` };
    await runOnce(runner, run, planRun(run, random, "usual"));
    await pause(random.integer(0, 5));
  }
}

/** Enough for the removal of the run to ask for a checkpoint. */
const BULK = "x".repeat(5 * 1024 * 1024);

const bulkAgent = scriptedAgent(function* ({ input }) {
  yield started(input);
  yield* text("bulk", BULK);
  yield finished(input);
});

/** Removals whose checkpoints another thread makes. Nobody asks about the removed runs. */
async function removeMuch(runner: SqliteAgentRunner): Promise<void> {
  for (let count = 0; count < 3 && !leaving && !ending; count++) {
    const input = inputOf("bulk", `bulk.${orders.name}.${lives}.${count}`);
    await new Promise<void>((resolve) => {
      const over = () => resolve();
      runner
        .run({ threadId: "bulk", agent: bulkAgent, input })
        .subscribe({ complete: over, error: over });
    });
    await runner.threads.delete("bulk").catch(() => undefined);
    tell("removed");
  }
}

const others: SqliteAgentRunner[] = [];

async function openSecond(): Promise<void> {
  const second = open();
  others.push(second);
  await second.ready();
  tell("second");
}

const commands = createInterface({ input: process.stdin });
commands.once("close", () => {
  ending = true;
});
commands.on("line", (line) => {
  if (line === "reopen") leaving = true;
  else if (line === "second") void openSecond();
});

while (!ending) {
  leaving = false;
  const runner = open();
  await runner.ready();
  tell("ready");
  const removing = orders.removes ? removeMuch(runner) : Promise.resolve();
  await Promise.all([removing, ...orders.threadIds.map((id) => converse(runner, id))]);
  await Promise.all(others.splice(0).map((other) => other.close()));
  await runner.close();
  lives++;
}
process.stdin.destroy();
