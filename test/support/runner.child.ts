// `node runner.child.ts OPTIONS_JSON`: a runner in a process of its own. Executes the commands on
// stdin, one JSON a line. Reports on stdout, in the same form, how each command ended and what its
// streams emit.
import { closeSync, openSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Worker } from "node:worker_threads";
import type { BaseEvent } from "@ag-ui/core";
import type { Observable, Subscription } from "rxjs";
import {
  type InterruptedRun,
  type Logger,
  type PurgeOptions,
  type Rerun,
  type RunnableAgent,
  type RunStoreError,
  type SqliteAgentRunnerOptions,
  withResource,
} from "../../src/index.ts";
import { newRunner } from "./new-runner.ts";
import type { LogLine } from "./open-runner.ts";
import { ignoreAbort, type PuppetAgent, puppetAgent } from "./puppet-agent.ts";
import {
  answeringAgent,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
} from "./scripted-agent.ts";

/** What the agent does when it is told to abort. */
export type OnAbort = "end" | "ignore" | "throw";

/** The command is executed within `withResource` of `resourceId`, if it has one. */
export type Command = { readonly resourceId?: string | undefined } & (
  | {
      readonly do: "run";
      readonly stream: number;
      readonly threadId: string;
      readonly runId: string;
      readonly onAbort: OnAbort;
      /** Ids of the messages of its input. Default: a question. */
      readonly messages?: readonly string[] | undefined;
    }
  /** Answered when the agent of the run with this stream has begun. */
  | { readonly do: "started"; readonly run: number }
  | { readonly do: "emit"; readonly run: number; readonly events: readonly ScriptEvent[] }
  | { readonly do: "finish"; readonly run: number }
  | { readonly do: "fail"; readonly run: number; readonly message: string }
  | { readonly do: "aborts"; readonly run: number }
  | { readonly do: "connect"; readonly stream: number; readonly threadId: string }
  | { readonly do: "stop"; readonly threadId: string; readonly runId?: string | undefined }
  | { readonly do: "isRunning"; readonly threadId: string }
  | { readonly do: "ready" | "flush" | "close" }
  /** Calls a method of `runner.threads`. */
  | { readonly do: "threads"; readonly method: ThreadMethod; readonly args: readonly unknown[] }
  | { readonly do: "purge"; readonly limits: PurgeOptions }
  /** Ends the writer thread. Answered when the thread has ended. */
  | { readonly do: "killWriter" }
  /** Opens files until the system has no descriptors left, and closes them again. */
  | { readonly do: "useUpDescriptors" | "freeDescriptors" }
  /** Blocks the main thread, after the report "blocked". */
  | { readonly do: "block"; readonly ms: number }
);

/** What the process does with a run that a crash ended. */
export type OnInterrupted =
  | "answer"
  /** The rerun's agent is the one of the stream `RERUN_STREAM`. */
  | "hold"
  | "decline"
  | "reject"
  /** `kill -9`, in the handler. */
  | "die"
  /** `kill -9` as soon as the rerun has begun, if the thread is "poison"; else like "answer". */
  | "dieOfPoison"
  /** `kill -9`, as soon as the rerun has begun. */
  | "dieInRerun";

/** As in runner-process.ts. */
const RERUN_STREAM = -1;

export type ChildOptions = Omit<SqliteAgentRunnerOptions, "onInterrupted"> & {
  readonly onInterrupted?: OnInterrupted | undefined;
};

export type ThreadMethod = "archive" | "delete" | "erase" | "fork" | "get" | "list";

export type Report =
  | { readonly kind: "interrupted"; readonly run: InterruptedRun }
  /** The promise of `rerun`: null when it resolved, else the code of its error. */
  | { readonly kind: "reran"; readonly code: string | null }
  | { readonly kind: "done"; readonly id: number; readonly value: unknown }
  | { readonly kind: "failed"; readonly id: number; readonly message: string }
  | { readonly kind: "event"; readonly stream: number; readonly event: BaseEvent }
  | { readonly kind: "complete"; readonly stream: number }
  | { readonly kind: "log"; readonly line: LogLine }
  | { readonly kind: "blocked" };

// Writes to a pipe are synchronous: a report before a kill or a block has arrived.
const report = (what: Report) => void process.stdout.write(`${JSON.stringify(what)}\n`);

const log = (level: LogLine["level"]) => (fields: object, message: string) =>
  report({ kind: "log", line: { level, fields, message } });
const logger: Logger = {
  debug: log("debug"),
  info: log("info"),
  warn: log("warn"),
  error: log("error"),
};

const ON_ABORT: Readonly<Record<OnAbort, (() => void) | undefined>> = {
  end: undefined,
  ignore: ignoreAbort,
  throw() {
    throw new Error("this agent cannot be aborted");
  },
};

function tell(stream: number, events: Observable<BaseEvent>): Subscription {
  return events.subscribe({
    next: (event) => report({ kind: "event", stream, event }),
    complete: () => report({ kind: "complete", stream }),
  });
}

const die = () => process.kill(process.pid, "SIGKILL");

function rerunAgent(onInterrupted: OnInterrupted, { threadId }: InterruptedRun): RunnableAgent {
  const isPoison = onInterrupted === "dieOfPoison" && threadId === "poison";
  if (onInterrupted === "answer" || (onInterrupted === "dieOfPoison" && !isPoison)) {
    return answeringAgent();
  }
  if (onInterrupted === "dieInRerun" || isPoison) {
    return scriptedAgent(async function* ({ input, aborted }) {
      yield started(input);
      await runner.flush();
      die();
      await aborted;
    });
  }
  const agent = puppetAgent();
  agents.set(RERUN_STREAM, agent);
  return agent;
}

async function handleInterrupted(
  onInterrupted: OnInterrupted,
  run: InterruptedRun,
  rerun: Rerun,
): Promise<void> {
  report({ kind: "interrupted", run });
  if (onInterrupted === "die") die();
  if (onInterrupted === "reject") throw new Error("this handler fails");
  if (onInterrupted === "decline") return;
  await rerun(rerunAgent(onInterrupted, run)).then(
    () => report({ kind: "reran", code: null }),
    (error: RunStoreError) => report({ kind: "reran", code: error.code }),
  );
}

const { onInterrupted, ...options } = JSON.parse(process.argv[2] ?? "{}") as ChildOptions;
/** The first thread of a runner, and each of its successors. */
let writer: Worker | null = null;
process.on("worker", (thread: Worker) => {
  writer ??= thread;
  thread.once("exit", () => {
    if (writer === thread) writer = null;
  });
});

const runner = newRunner({
  ...options,
  ...(onInterrupted !== undefined && {
    onInterrupted: (run, { rerun }) => handleInterrupted(onInterrupted, run, rerun),
  }),
  logger,
});
/** By the stream of the run. */
const agents = new Map<number, PuppetAgent>();

async function agentOf(run: number): Promise<PuppetAgent> {
  const agent = agents.get(run);
  if (agent === undefined) throw new Error(`no run has the stream ${run}`);
  await agent.started;
  return agent;
}

const descriptors: number[] = [];

function useUpDescriptors(): void {
  try {
    for (;;) descriptors.push(openSync("/dev/null", "r"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EMFILE") throw error;
  }
}

async function obey(command: Command): Promise<unknown> {
  switch (command.do) {
    case "run": {
      const { stream, threadId, runId, onAbort, messages } = command;
      const agent = puppetAgent(ON_ABORT[onAbort]);
      agents.set(stream, agent);
      tell(stream, runner.run({ threadId, agent, input: inputOf(threadId, runId, messages) }));
      return undefined;
    }
    case "started":
      await agentOf(command.run);
      return undefined;
    case "emit":
      (await agentOf(command.run)).emit(...command.events);
      return undefined;
    case "finish":
      (await agentOf(command.run)).finish();
      return undefined;
    case "fail":
      (await agentOf(command.run)).fail(new Error(command.message));
      return undefined;
    case "aborts":
      return agents.get(command.run)?.aborts();
    case "connect":
      tell(command.stream, runner.connect(command));
      return undefined;
    case "stop":
      return runner.stop(command);
    case "isRunning":
      return runner.isRunning(command);
    case "threads": {
      const { threads } = runner;
      const call = threads[command.method] as (...args: readonly unknown[]) => Promise<unknown>;
      return call.apply(threads, [...command.args]);
    }
    case "purge":
      return runner.purge(command.limits);
    case "killWriter":
      await writer?.terminate();
      return undefined;
    case "useUpDescriptors":
      useUpDescriptors();
      return undefined;
    case "freeDescriptors":
      for (const fd of descriptors.splice(0)) closeSync(fd);
      return undefined;
    case "block":
      report({ kind: "blocked" });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, command.ms);
      return;
    default:
      return runner[command.do]();
  }
}

function obeyInContext(command: Command): Promise<unknown> {
  const { resourceId } = command;
  return resourceId === undefined ? obey(command) : withResource(resourceId, () => obey(command));
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, ...command } = JSON.parse(line) as Command & { readonly id: number };
  // Not awaited: the next command may be what this one waits for.
  obeyInContext(command).then(
    (value) => report({ kind: "done", id, value }),
    (error: unknown) => report({ kind: "failed", id, message: String(error) }),
  );
}
