import type { EventLike } from "../event.ts";

const isFields = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * A stored RUN_STARTED as a replay emits it: without `clientMessages`, and without everything in its
 * input that a client's reducer ignores. That is state, tools, context, `forwardedProps`, and messages
 * that are known to the client (`isKnown`). Its input fits the schema of a `RunAgentInput`.
 */
export function shownStart(event: EventLike, isKnown: (id: unknown) => boolean): EventLike {
  const { clientMessages: _, ...shown } = event;
  const { input } = shown;
  if (!isFields(input)) return shown;
  const messages = Array.isArray(input.messages) ? (input.messages as unknown[]) : [];
  return {
    ...shown,
    input: {
      threadId: input.threadId ?? event.threadId,
      runId: input.runId ?? event.runId,
      ...(input.parentRunId !== undefined && { parentRunId: input.parentRunId }),
      messages: messages.filter((message) => !isFields(message) || !isKnown(message.id)),
      tools: [],
      context: [],
    },
  };
}
