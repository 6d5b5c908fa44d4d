import type { EventLike } from "../events/event.ts";

/*
 * The types of the runner's contract. None of them comes from `@ag-ui/core` or `@ag-ui/client`: a
 * project often has two versions of those, one of its own and one within `@copilotkit/runtime`, and
 * an enum of one (`EventType`) is never that of the other. So these say what the runner needs, and
 * every version from 0.0.59 to 1.x fits.
 */

/**
 * `T` in a project that checks for null. In one that does not (no `strict`), the schemas of 0.0.59 infer
 * each of their fields as optional, so that nothing may be asked of its inputs and events.
 */
type IfStrict<T> = undefined extends string ? object : T;

/** A message of an input. The runner reads its `id` alone. */
export interface InputMessage {
  readonly id: string;
  readonly role: string;
  readonly content?: unknown;
}

/** The input of a run: what a `RunAgentInput` of `@ag-ui/core` is. */
export interface RunInput {
  readonly threadId: string;
  /** Names the run: any non-empty string. It may come again once the run that has it is over. */
  readonly runId: string;
  readonly parentRunId?: string | undefined;
  readonly state?: unknown;
  readonly messages: readonly InputMessage[];
  readonly tools: { name: string; description: string; parameters?: unknown }[];
  readonly context: { description: string; value: string }[];
  readonly forwardedProps?: unknown;
  readonly resume?:
    | { interruptId: string; status: "resolved" | "cancelled"; payload?: unknown }[]
    | undefined;
}

/**
 * The input as an agent gets it: all of the request's, `resume` included. That field is not named,
 * since under `exactOptionalPropertyTypes` no type of it fits agents of 0.0.59 and of 1.x alike; an
 * agent that reads it declares its own parameter as a `RunAgentInput`.
 */
export type AgentInput = IfStrict<Omit<RunInput, "resume">>;

/**
 * What the runner needs of an agent. Every `AbstractAgent` of `@ag-ui/client`, 0.0.59 to 1.x, is
 * one. Methods rather than function properties, so that each version's parameter types fit.
 */
export interface RunnableAgent {
  readonly agentId?: string | undefined;
  runAgent(input: AgentInput, subscriber: RunSubscriber): Promise<unknown>;
  abortRun(): void;
}

/** The callbacks that the runner hands to `runAgent`. */
export interface RunSubscriber {
  onEvent(params: { event: IfStrict<EventLike> }): void;
  /** Does nothing: what the thread has seen is read from its events. Agents may call it. */
  onNewMessage(params: unknown): void;
  /** Does nothing, likewise. */
  onRunStartedEvent(params: unknown): void;
}

/**
 * What `run` and `connect` return, as far as all copies of RxJS agree: an `Observable` of one copy is
 * not assignable to that of another. Both methods return the `Observable` that their caller expects.
 */
export interface EventStream {
  subscribe(observer: {
    next(event: IfStrict<{ readonly type: string }>): void;
    error(error: unknown): void;
    complete(): void;
  }): { unsubscribe(): void };
}

export interface RunRequest {
  /** The conversation. Any non-empty string. */
  threadId: string;
  agent: RunnableAgent;
  input: IfStrict<RunInput>;
}

export interface ConnectRequest {
  threadId: string;
  /** Headers of the client's request. `x-replay-runs: 20` asks for the last 20 runs: see `replayRuns`. */
  headers?: Readonly<Record<string, string>> | undefined;
}

export interface IsRunningRequest {
  threadId: string;
}

export interface StopRequest {
  threadId: string;
  /** Stop this run only, and never a newer one of the thread. */
  runId?: string | undefined;
}
