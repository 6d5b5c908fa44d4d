import type { EventLike } from "../../events/event.ts";

/** An event that no store may change: compaction leaves CUSTOM events alone. */
export const custom = (value: unknown): EventLike => ({ type: "CUSTOM", name: "n", value });

/** A RUN_STARTED with messages in its input. */
export const started = (
  threadId: string,
  runId: string,
  messageIds: readonly string[],
): EventLike => ({
  type: "RUN_STARTED",
  threadId,
  runId,
  input: { threadId, runId, messages: messageIds.map((id) => ({ id, role: "user", content: id })) },
});

export const finished = (threadId: string, runId: string): EventLike => ({
  type: "RUN_FINISHED",
  threadId,
  runId,
});

/** CUSTOM events of about `length` characters each. */
export const longEvents = (count: number, length: number): EventLike[] =>
  Array.from({ length: count }, (_, index) => custom(`${index} ${"x".repeat(length)}`));

/** An event as a client gets it. Objects of any prototype are the same to it. */
export const asJson = (event: EventLike): EventLike => JSON.parse(JSON.stringify(event));
