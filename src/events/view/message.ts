import type { EventLike } from "../event.ts";

/** A message as a client holds it. Stored ones may lack any field, the id included. */
export interface Message {
  readonly id?: unknown;
  readonly role?: unknown;
  readonly content?: unknown;
  readonly toolCalls?: unknown;
  readonly [field: string]: unknown;
}

export interface ToolCall {
  readonly id: string;
  readonly function?: unknown;
  readonly [field: string]: unknown;
}

export type Fields = Readonly<Record<string, unknown>>;

/** True for objects of named fields: not for null, not for arrays. */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The tool call `id` of `message`: the first, if the message has several of that id. */
export function toolCallOf(message: Message, id: string): ToolCall | undefined {
  return toolCallsOf(message).find((call) => call.id === id);
}

/** The tool calls of `message` that have an id. */
export function toolCallsOf(message: Message): ToolCall[] {
  if (!Array.isArray(message.toolCalls)) return [];
  return (message.toolCalls as unknown[]).filter(isToolCall);
}

function isToolCall(value: unknown): value is ToolCall {
  return isFields(value) && typeof value.id === "string";
}

/** The subagent that `event` is attributed to, as a field of a message that it creates. */
export function attributionOf(event: EventLike): { subagentRunId?: string } {
  const { subagentRunId } = event;
  return typeof subagentRunId === "string" ? { subagentRunId } : {};
}

/**
 * `target` with the metadata of `event` merged into its own, key by key. The last write wins, and a
 * value is replaced whole.
 */
export function withMetadata<Target extends Fields>(target: Target, event: EventLike): Target {
  if (!isFields(event.metadata)) return target;
  return { ...target, metadata: { ...(target.metadata as object), ...event.metadata } };
}

/** `tagged` as it is, or without its attribution if that is null, which stands for none. */
export function withoutNullTag<Tagged extends Fields>(tagged: Tagged): Tagged {
  if (tagged.subagentRunId !== null) return tagged;
  const { subagentRunId: _, ...rest } = tagged;
  return rest as Tagged;
}
