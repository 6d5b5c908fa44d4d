/*
 * Nothing here is executed: `npx tsc --noEmit` checks that the runner fits where its users put it.
 * `@ts-expect-error` lines fail the check when they stop being errors.
 */
import type { AbstractAgent as AbstractAgent0 } from "@ag-ui/client";
import type { BaseEvent, RunAgentInput } from "@ag-ui/core";
import type { AgentRunner } from "@copilotkit/runtime/v2";
import { CopilotRuntime } from "@copilotkit/runtime/v2";
import {
  type AbstractAgent as AbstractAgent1,
  type BaseEvent as BaseEvent1,
  EventType as EventType1,
  type RunAgentInput as RunAgentInput1,
} from "ag-ui-client-1";
import { filter, lastValueFrom, type Observable, toArray } from "rxjs";
import {
  type EventLike,
  type RunnableAgent,
  SqliteAgentRunner,
  StoreAgentRunner,
} from "../../src/index.ts";
import { MemoryRunStore } from "../support/memory-store.ts";

/** The part of pino's `Logger` that the runner uses. Its methods are overloaded like this. */
interface LogFn {
  <T, TMsg extends string = string>(obj: T, msg?: TMsg, ...args: unknown[]): void;
  (msg: string, ...args: unknown[]): void;
}
interface PinoShaped {
  readonly level: string;
  fatal: LogFn;
  error: LogFn;
  warn: LogFn;
  info: LogFn;
  debug: LogFn;
  trace: LogFn;
}

declare const agent0: AbstractAgent0;
declare const agent1: AbstractAgent1;
declare const input: RunAgentInput;
declare const input1: RunAgentInput1;
declare const pino: PinoShaped;

export function dropIn(): CopilotRuntime {
  return new CopilotRuntime({ agents: { default: agent0 }, runner: new SqliteAgentRunner() });
}

export function assignable(): readonly unknown[] {
  const runner: AgentRunner = new SqliteAgentRunner({ dbPath: "threads.db" });
  const agents: readonly RunnableAgent[] = [agent0, agent1];
  return [runner, agents];
}

export function calls(runner: SqliteAgentRunner): readonly unknown[] {
  const stream: Observable<BaseEvent> = runner.run({ threadId: "t", agent: agent0, input });
  const other: Observable<BaseEvent1> = runner.run({ threadId: "t", agent: agent1, input: input1 });
  const replay: Observable<BaseEvent> = runner.connect({ threadId: "t" });
  const isRunning: Promise<boolean> = runner.isRunning({ threadId: "t" });
  const stopped: Promise<boolean | undefined> = runner.stop({ threadId: "t", runId: "r" });
  const closed: Promise<void> = runner.close();
  const disposable: AsyncDisposable = runner;
  return [stream, other, replay, isRunning, stopped, closed, disposable];
}

/** Without an expected event type, each event has a type and any other fields. */
export async function events(runner: SqliteAgentRunner): Promise<readonly unknown[]> {
  const { type, delta }: EventLike = await lastValueFrom(runner.connect({ threadId: "t" }));
  const all: EventLike[] = await lastValueFrom(
    runner.connect({ threadId: "t" }).pipe(
      filter((event) => event.type !== "RAW"),
      toArray(),
    ),
  );
  // @ts-expect-error no stream of events
  const wrong: Observable<number> = runner.connect({ threadId: "t" });
  return [type, delta, all, wrong];
}

/** The runner in a runtime with another `@ag-ui/core` than the project. */
interface AgentRunner1 {
  run(request: {
    threadId: string;
    agent: AbstractAgent1;
    input: RunAgentInput1;
  }): Observable<BaseEvent1>;
  connect(request: { threadId: string }): Observable<BaseEvent1>;
}

export function otherCore(): AgentRunner1 {
  return new SqliteAgentRunner({ dbPath: "threads.db" });
}

/** Agents that declare their parameters with the types of an `@ag-ui/core`, or without. */
export function ownAgents(): readonly RunnableAgent[] {
  return [
    {
      async runAgent(asked: RunAgentInput, { onEvent }) {
        const { threadId, runId, resume } = asked;
        onEvent({ event: { type: "RUN_STARTED", threadId, runId } });
        onEvent({ event: { type: "CUSTOM", name: "resumed", value: resume } });
      },
      abortRun() {},
    },
    {
      async runAgent(asked: RunAgentInput1, { onEvent }) {
        const started: BaseEvent1 = { type: EventType1.RUN_STARTED, runId: asked.runId };
        onEvent({ event: started });
      },
      abortRun() {},
    },
    {
      async runAgent({ threadId, runId, messages }, { onEvent }) {
        onEvent({
          event: { type: "RUN_STARTED", threadId, runId, asked: messages.at(-1)?.content },
        });
      },
      abortRun() {},
    },
  ];
}

export function options(): readonly SqliteAgentRunner[] {
  return [
    new SqliteAgentRunner(),
    new SqliteAgentRunner({ logger: pino }),
    new SqliteAgentRunner({ logger: console }),
    new SqliteAgentRunner({ onConcurrentRun: "enqueue", dbPath: undefined }),
    // @ts-expect-error no such option
    new SqliteAgentRunner({ dbpath: "threads.db" }),
    // @ts-expect-error not one of the four
    new SqliteAgentRunner({ onConcurrentRun: "wait" }),
    // @ts-expect-error a logger without its methods
    new SqliteAgentRunner({ logger: {} }),
  ];
}

export function anyStore(): AgentRunner {
  return new StoreAgentRunner({
    store: new MemoryRunStore(),
    logger: pino,
    onConcurrentRun: "throw",
    stopTimeoutMs: 1,
    closeTimeoutMs: 1,
    storeInput: "full",
  });
}
