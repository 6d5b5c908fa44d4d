import { type EventLike, stringField } from "../events/event.ts";
import { endOf } from "../events/run-facts.ts";
import { usageOf } from "../events/usage.ts";
import { eventChannel, runChannel } from "../telemetry/channels.ts";
import type { RunStatus, RunTelemetry } from "../telemetry/messages.ts";
import type { EventLog } from "./event-log.ts";

/** Who a run is, as its trace tells. */
export type TracedRun = Pick<
  RunTelemetry,
  "threadId" | "runId" | "agentId" | "resourceId" | "isStored" | "isRerun"
>;

/** Whether runs are told of. A subscriber to the events alone needs their traces as well. */
export function isTraced(): boolean {
  return runChannel.hasSubscribers || eventChannel.hasSubscribers;
}

/**
 * Makes a run by `make`, and publishes its beginning. What `make` captures of the async context has the stores that
 * subscribers have bound to the channel.
 */
export function traced<Run>(who: TracedRun, make: (trace: RunTrace) => Run): Run {
  const trace = new RunTrace(who);
  const { start, end } = runChannel;
  try {
    return start.runStores(trace.message, () => make(trace));
  } finally {
    end.publish(trace.message);
  }
}

/**
 * Tells of one run on the channels of telemetry. A subscriber that throws does not get through to the run: Node
 * reports that as an uncaught exception, in a tick of its own.
 */
export class RunTrace {
  readonly message: RunTelemetry;
  readonly #requestedAt = performance.now();

  constructor(run: TracedRun) {
    this.message = {
      ...run,
      requestedAt: Date.now(),
      waitedMs: null,
      epoch: null,
      status: "active",
      events: 0,
      usage: [],
      errorCode: null,
    };
  }

  /** Subscribes to the run's events, before anybody else does. `outcome` is what the last event does not tell. */
  follow(log: EventLog, outcome: () => RunStatus | null): void {
    log.from().subscribe({
      next: (event) => this.#emitted(event),
      complete: () => this.#completed(log.slice(log.length - 1, log.length)[0], outcome()),
    });
  }

  /** The agent is about to be called. */
  begun(epoch: number | null): void {
    this.message.epoch = epoch;
    this.message.waitedMs = performance.now() - this.#requestedAt;
  }

  #emitted(event: EventLike): void {
    const { message } = this;
    message.events++;
    if (eventChannel.hasSubscribers) eventChannel.publish({ run: message, event });
  }

  /** `last` is the log's copy of the last event: the object of an agent may throw when it is read. */
  #completed(last: EventLike | undefined, outcome: RunStatus | null): void {
    const { message } = this;
    const end = endOf(last);
    if (last !== undefined) message.usage = usageOf(last);
    message.status = outcome ?? end.outcome;
    if (last?.type === "RUN_ERROR") {
      // A run that was told to stop may fail for another reason.
      if (outcome === "stopped") message.status = "error";
      message.errorCode = end.errorCode;
      message.error = new Error(stringField(last, "message") ?? "");
      runChannel.error.publish(message);
    }
    runChannel.asyncStart.publish(message);
    runChannel.asyncEnd.publish(message);
  }
}
