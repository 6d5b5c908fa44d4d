import type { RunAgentInput } from "@ag-ui/core";
import type { RunnableAgent } from "../../src/index.ts";
import type { ScriptEvent } from "./scripted-agent.ts";

export interface PuppetAgent extends RunnableAgent {
  /** Resolves with the input when the agent is run. */
  readonly started: Promise<RunAgentInput>;
  readonly isStarted: () => boolean;
  /** How often it was told to abort. */
  readonly aborts: () => number;
  /** Emits an event in this tick. */
  readonly emit: (...events: readonly ScriptEvent[]) => void;
  /** Ends the run without an error: the promise of `runAgent` resolves. */
  readonly finish: () => void;
  /** Ends the run with an error: the promise of `runAgent` rejects. */
  readonly fail: (error: unknown) => void;
}

/**
 * An agent that the test controls. `onAbort` is called by its `abortRun`. Without `onAbort`, an abort
 * ends the run without an error.
 */
export function puppetAgent(onAbort?: () => void): PuppetAgent {
  const started = Promise.withResolvers<RunAgentInput>();
  const ended = Promise.withResolvers<void>();
  // The runner handles a failure, but a test may let its agent fail before it is run.
  ended.promise.catch(() => undefined);
  let onEvent: ((params: { event: ScriptEvent }) => void) | null = null;
  let aborts = 0;
  return {
    started: started.promise,
    isStarted: () => onEvent !== null,
    aborts: () => aborts,
    emit(...events) {
      if (onEvent === null) throw new Error("the agent was not run yet");
      for (const event of events) onEvent({ event });
    },
    finish: ended.resolve,
    fail: ended.reject,
    runAgent(input: RunAgentInput, subscriber) {
      onEvent = (params) => subscriber.onEvent(params);
      started.resolve(input);
      return ended.promise;
    },
    abortRun() {
      aborts++;
      if (onAbort === undefined) ended.resolve();
      else onAbort();
    },
  };
}

/** An `onAbort` for agents that ignore an abort. */
export const ignoreAbort = (): void => undefined;
