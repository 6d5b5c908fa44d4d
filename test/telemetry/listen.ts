import { subscribe, tracingChannel, unsubscribe } from "node:diagnostics_channel";
import { onTestFinished } from "vitest";
import { CHANNELS, type RunTelemetry } from "../../src/index.ts";

/** The messages of a channel that come during the test. */
export function listen<Message>(name: Exclude<keyof typeof CHANNELS, "run">): Message[] {
  const messages: Message[] = [];
  const note = (message: unknown) => void messages.push(message as Message);
  subscribe(CHANNELS[name], note);
  onTestFinished(() => void unsubscribe(CHANNELS[name], note));
  return messages;
}

type Step = "start" | "end" | "asyncStart" | "asyncEnd" | "error";

export interface Traces {
  /** What was published, in order, such as "start r1 active". */
  readonly steps: string[];
  /** The run of each start. */
  readonly runs: RunTelemetry[];
}

/** What comes on the tracing channel of runs during the test. */
export function listenToRuns(): Traces {
  const traces: Traces = { steps: [], runs: [] };
  const note = (step: Step) => (run: RunTelemetry) => {
    traces.steps.push(`${step} ${run.runId} ${run.status}`);
    if (step === "start") traces.runs.push(run);
  };
  const channel = tracingChannel<unknown, RunTelemetry>(CHANNELS.run);
  const listeners = {
    start: note("start"),
    end: note("end"),
    asyncStart: note("asyncStart"),
    asyncEnd: note("asyncEnd"),
    error: note("error"),
  };
  channel.subscribe(listeners);
  onTestFinished(() => channel.unsubscribe(listeners));
  return traces;
}
