import { randomUUID } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type BaseEvent, EventType, type RunAgentInput } from "@ag-ui/core";
import type { RunnableAgent } from "../../src/index.ts";

type Ids = Pick<RunAgentInput, "threadId" | "runId">;

/** The events of an answer that are not text: two before the text, two after it. */
const FRAME_EVENTS = 4;

export const answerId = (runId: string): string => `${runId}-answer`;

export const deltasOf = (eventsPerRun: number): number => Math.max(0, eventsPerRun - FRAME_EVENTS);

export const deltaText = (at: number): string => `token ${at} of an answer `;

/** Emits one answer of `eventsPerRun` events. */
export function emitAnswer(
  { threadId, runId }: Ids,
  eventsPerRun: number,
  emit: (event: BaseEvent) => void,
): void {
  const messageId = answerId(runId);
  const deltas = deltasOf(eventsPerRun);
  emit({ type: EventType.RUN_STARTED, threadId, runId });
  emit({ type: EventType.TEXT_MESSAGE_START, messageId, role: "assistant" });
  for (let at = 0; at < deltas; at++) {
    emit({ type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta: deltaText(at) });
  }
  emit({ type: EventType.TEXT_MESSAGE_END, messageId });
  emit({ type: EventType.RUN_FINISHED, threadId, runId });
}

/** The current threads of the clients. */
const threadOf = new Map<string, { readonly number: number; readonly threadId: string }>();

/**
 * The ids of a client's turn: UUIDs, as CopilotKit's clients make them. The client begins a new thread after
 * `turnsPerThread` turns.
 */
export function turnIds(client: string, turn: number, turnsPerThread = Infinity): Ids {
  const number = Math.floor(turn / turnsPerThread);
  let thread = threadOf.get(client);
  if (thread?.number !== number) {
    thread = { number, threadId: randomUUID() };
    threadOf.set(client, thread);
  }
  return { threadId: thread.threadId, runId: randomUUID() };
}

/** An input with one new message after the earlier messages. */
export function inputOf(
  ids: Ids,
  earlier: RunAgentInput["messages"] = [],
  content = "And then?",
): RunAgentInput {
  const question = { id: `${ids.runId}-question`, role: "user" as const, content };
  const messages = [...earlier, question];
  return { ...ids, messages, state: {}, tools: [], context: [], forwardedProps: {} };
}

/** Emits its events without the client's pipeline, so that the runner alone is measured. */
export class DirectAgent implements RunnableAgent {
  readonly agentId = "bench";
  readonly #eventsPerRun: number;

  constructor(eventsPerRun: number) {
    this.#eventsPerRun = eventsPerRun;
  }

  async runAgent(
    ids: Ids,
    { onEvent }: { onEvent(params: { event: BaseEvent }): void },
  ): Promise<void> {
    // Even the fastest model answers in a later turn of the event loop.
    await nextTurn();
    emitAnswer(ids, this.#eventsPerRun, (event) => onEvent({ event }));
  }

  abortRun(): void {}
}
