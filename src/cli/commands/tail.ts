import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import type { EventLike, StoreAgentRunner } from "../../index.ts";
import { newCommand } from "../command.ts";
import { LiveText } from "../live-text.ts";
import { isClosed, print } from "../print.ts";
import { overlapOf } from "../run-alignment.ts";
import { type CommonOptions, type Session, withRunner } from "../session.ts";
import { wholeNumber } from "../values.ts";
import { unknownThread } from "./show.ts";

interface Options extends CommonOptions {
  readonly runs: number;
  readonly untilEnd?: boolean;
  readonly full?: boolean;
}

/** How often it is looked for a new run, while none executes. */
const LOOK_EVERY_MS = 200;
/** Stored runs that are replayed beside the new ones, to find where the new ones begin. */
const SPARE_RUNS = 3;

export function tailCommand(): Command {
  const examples = ["tail THREAD", "tail THREAD --until-end", "tail THREAD --json | jq -r .type"];
  const summary = "follow the runs of a thread, whichever process executes them";
  const about =
    "Begins with the last run, and goes on until Ctrl-C. With --json: one event a line.";
  return newCommand({ usage: "tail <thread>", summary, about, examples })
    .option("--runs <number>", "how many of the last stored runs to begin with", wholeNumber(1), 1)
    .option("--until-end", "end when no run executes")
    .option("--full", "show results of tools whole")
    .action((thread: string, options: Options) =>
      withRunner(options, (session) => tail(session, thread, options)),
    );
}

async function tail(
  { runner, signal }: Session,
  threadId: string,
  options: Options,
): Promise<void> {
  const show = printerOf(options);
  /** Ids of the runs that were printed, in order. */
  const printed: string[] = [];
  /** Stored runs that there were when the printing began, and were left out. */
  let leftOut: number | null = null;
  /** The last stored run at the last look. Runs that a client discards are printed and never stored. */
  let lastEpoch = 0;
  while (!signal.aborted && !isClosed()) {
    const thread = await runner.threads.get(threadId);
    // A thread may be removed while it is followed.
    if (thread === null) throw unknownThread(threadId);
    leftOut ??= Math.max(0, thread.runs - options.runs);
    const epoch = thread.lastRun?.epoch ?? 0;
    if (epoch !== lastEpoch || thread.isRunning) {
      lastEpoch = epoch;
      const unprinted = Math.max(0, thread.runs - leftOut - printed.length);
      const runs = printed.length === 0 ? options.runs : unprinted + SPARE_RUNS;
      const expected = Math.min(printed.length, Math.max(0, runs - unprinted));
      const before = printed.length;
      const fresh = freshEvents(printed, expected);
      await replay(runner, { threadId, runs, signal }, (event) => {
        if (fresh(event)) show(event);
      });
      // The run may not have begun, or have ended without leaving anything.
      if (printed.length === before) await pause(signal);
    } else if (options.untilEnd === true) {
      return;
    } else {
      await pause(signal);
    }
    if (options.untilEnd === true && !(await runner.isRunning({ threadId }))) return;
  }
}

async function pause(signal: AbortSignal): Promise<void> {
  await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
}

/** Whether an event belongs to a run that was not printed. Adds the new runs to those that were printed. */
function freshEvents(printed: string[], expected: number): (event: EventLike) => boolean {
  const before = [...printed];
  /** Runs of the replay to pass over. Null before its first run. */
  let skip: number | null = null;
  let isFresh = false;
  return (event) => {
    // An error before any run says that the thread cannot be read.
    if (event.type !== "RUN_STARTED") return isFresh || skip === null;
    const runId = String(event.runId);
    skip ??= overlapOf(before, runId, expected);
    isFresh = skip === 0;
    if (isFresh) printed.push(runId);
    else skip--;
    return isFresh;
  };
}

function replay(
  runner: StoreAgentRunner,
  { threadId, runs, signal }: { threadId: string; runs: number; signal: AbortSignal },
  next: (event: EventLike) => void,
): Promise<void> {
  const headers = { "x-replay-runs": `${runs}` };
  return new Promise((resolve, reject) => {
    const end = () => {
      subscription.unsubscribe();
      resolve();
    };
    const subscription = runner.connect({ threadId, headers }).subscribe({
      next,
      error: reject,
      complete: () => {
        signal.removeEventListener("abort", end);
        resolve();
      },
    });
    signal.addEventListener("abort", end, { once: true });
  });
}

/** Prints event by event. An event is not waited for: who follows a run reads as fast as it emits. */
function printerOf({ json, full = false }: Options): (event: EventLike) => void {
  if (json === true) return (event) => void print(`${JSON.stringify(event)}\n`);
  const text = new LiveText({ full });
  return (event) => void print(text.of(event));
}
