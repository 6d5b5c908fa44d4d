import type { EventLike } from "../events/event.ts";

/*
 * The types of the runner's contract. None of them comes from `@ag-ui/core` or `@ag-ui/client`.
 *
 * A project often has two versions of those packages: its own, and that of `@copilotkit/runtime`. An
 * enum of one version (`EventType`) is not assignable to the same enum of the other. So these types say
 * what the runner needs, and every version from 0.0.59 to 1.x fits.
 */

/**
 * `T` in a project with strict null checks. Without them, the schemas of 0.0.59 infer all their fields
 * as optional, so no field may be required of inputs and events.
 */
type IfStrict<T> = undefined extends string ? object : T;

/** A message of an input. The runner reads only its `id`. */
export interface InputMessage {
  readonly id: string;
  readonly role: string;
  readonly content?: unknown;
}

/** The input of a run: fits `RunAgentInput` of `@ag-ui/core`. */
export interface RunInput {
  readonly threadId: string;
  /** The client's name for the run: any non-empty string. It may be used again once this run is over. */
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
 * The input as an agent gets it: the whole input of the request, `resume` included.
 *
 * The type leaves out `resume`: under `exactOptionalPropertyTypes`, no type of that field fits agents of
 * both 0.0.59 and 1.x. An agent that reads `resume` declares its parameter as `RunAgentInput`.
 */
export type AgentInput = IfStrict<Omit<RunInput, "resume">>;

/**
 * What the runner needs of an agent. Every `AbstractAgent` of `@ag-ui/client` 0.0.59 to 1.x fits. These
 * are methods, not function properties, so that the parameter types of each version fit.
 */
export interface RunnableAgent {
  readonly agentId?: string | undefined;
  runAgent(input: AgentInput, subscriber: RunSubscriber): Promise<unknown>;
  abortRun(): void;
}

/** The callbacks that the runner passes to `runAgent`. */
export interface RunSubscriber {
  onEvent(params: { event: IfStrict<EventLike> }): void;
  /** Does nothing, but agents may call it. The runner reads the messages from the events. */
  onNewMessage(params: unknown): void;
  /** Does nothing, but agents may call it. */
  onRunStartedEvent(params: unknown): void;
}

/**
 * The part of an `Observable` that is the same in all copies of RxJS. An `Observable` of one copy is not
 * assignable to that of another copy. `run` and `connect` return the `Observable` type of their caller.
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
  /** Stop only a run with this id, and never a newer run of the thread. */
  runId?: string | undefined;
}
