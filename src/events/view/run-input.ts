import type { EventLike } from "../event.ts";
import { isFields, type Message } from "./message.ts";
import type { ThreadView } from "./thread-view.ts";

/** What is stored of a run. */
export interface RunWithInput {
  readonly threadId: string;
  readonly runId: string;
  readonly events: readonly EventLike[];
  /** Its input as it is stored: with the messages that were new to the thread. */
  readonly stored: unknown;
}

/** A whole input, of which `messages` alone is sure to be what clients send. */
export interface WholeInput {
  readonly threadId: string;
  readonly runId: string;
  readonly messages: readonly Message[];
  readonly [field: string]: unknown;
}

/**
 * The whole input of a run: what its client held when it asked for the run. `before` is the view before
 * the run, and is changed. The messages that the run itself emitted are no part of its input.
 */
export function inputOfRun(
  before: ThreadView,
  { threadId, runId, events, stored }: RunWithInput,
): WholeInput {
  const start = events.find(({ type }) => type === "RUN_STARTED");
  if (start !== undefined) before.applyStored(start);
  const fields = isFields(stored) ? stored : {};
  // An agent may emit a RUN_STARTED with an input of its own, or none.
  const brought = { type: "RUN_STARTED", input: { messages: fields.messages } };
  before.apply(brought);
  return {
    tools: [],
    context: [],
    forwardedProps: {},
    ...fields,
    // What the client sent is what the agent got. A stored input lacks it only if the client sent none.
    state: fields.state ?? before.state,
    threadId,
    runId,
    // Clients keep activities to themselves.
    messages: before.messages.filter(({ role }) => role !== "activity"),
  };
}
