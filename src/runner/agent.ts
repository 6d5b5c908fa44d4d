import type { BaseEvent, RunAgentInput } from "@ag-ui/core";

/**
 * The input as an agent gets it. `RunAgentInput` itself says `X | undefined` of what may be absent,
 * which under `exactOptionalPropertyTypes` does not fit the inputs of an `AbstractAgent` of 1.x.
 */
export type AgentInput = WithoutUndefined<RunAgentInput>;

type WithoutUndefined<T> = T extends object
  ? { [Name in keyof T]: WithoutUndefined<Exclude<T[Name], undefined>> }
  : T;

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
  onEvent(params: { event: BaseEvent }): void;
  /** Does nothing: what the thread has seen is read from its events. Agents may call it. */
  onNewMessage(params: unknown): void;
  /** Does nothing, likewise. */
  onRunStartedEvent(params: unknown): void;
}

export interface RunRequest {
  /** The conversation. Any non-empty string. */
  threadId: string;
  agent: RunnableAgent;
  /** `input.runId` names the run; any non-empty string that no run has had before. */
  input: RunAgentInput;
}

export interface ConnectRequest {
  threadId: string;
}

export interface IsRunningRequest {
  threadId: string;
}

export interface StopRequest {
  threadId: string;
  /** Stop this run only, and never a newer one of the thread. */
  runId?: string | undefined;
}
