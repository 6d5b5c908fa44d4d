import type { EventLike } from "../event.ts";

/** The kinds of parts that events start, fill and end. */
export type PartKind =
  | "text"
  | "toolCall"
  | "reasoning"
  | "reasoningSpan"
  | "thinking"
  | "thinkingText"
  | "step"
  | "subagent";

export interface PartLifecycle {
  readonly kind: PartKind;
  readonly phase: "start" | "content" | "end";
}

// A reasoning span and the reasoning messages inside it are two kinds: they may share an id.
const lifecycles = new Map<string, PartLifecycle>([
  ["TEXT_MESSAGE_START", { kind: "text", phase: "start" }],
  ["TEXT_MESSAGE_CONTENT", { kind: "text", phase: "content" }],
  ["TEXT_MESSAGE_END", { kind: "text", phase: "end" }],
  ["TOOL_CALL_START", { kind: "toolCall", phase: "start" }],
  ["TOOL_CALL_ARGS", { kind: "toolCall", phase: "content" }],
  ["TOOL_CALL_END", { kind: "toolCall", phase: "end" }],
  ["REASONING_START", { kind: "reasoningSpan", phase: "start" }],
  ["REASONING_END", { kind: "reasoningSpan", phase: "end" }],
  ["REASONING_MESSAGE_START", { kind: "reasoning", phase: "start" }],
  ["REASONING_MESSAGE_CONTENT", { kind: "reasoning", phase: "content" }],
  ["REASONING_MESSAGE_END", { kind: "reasoning", phase: "end" }],
  ["THINKING_START", { kind: "thinking", phase: "start" }],
  ["THINKING_END", { kind: "thinking", phase: "end" }],
  ["THINKING_TEXT_MESSAGE_START", { kind: "thinkingText", phase: "start" }],
  ["THINKING_TEXT_MESSAGE_CONTENT", { kind: "thinkingText", phase: "content" }],
  ["THINKING_TEXT_MESSAGE_END", { kind: "thinkingText", phase: "end" }],
  ["STEP_STARTED", { kind: "step", phase: "start" }],
  ["STEP_FINISHED", { kind: "step", phase: "end" }],
  ["SUBAGENT_STARTED", { kind: "subagent", phase: "start" }],
  ["SUBAGENT_FINISHED", { kind: "subagent", phase: "end" }],
  ["SUBAGENT_ERROR", { kind: "subagent", phase: "end" }],
]);

/** The kind of part that an event of `type` starts, fills or ends. Undefined for all other events. */
export function lifecycleOf(type: string): PartLifecycle | undefined {
  return lifecycles.get(type);
}

/**
 * The id by which `event` names its part. Undefined if the event has no such id. Thinking parts have no
 * ids: they get a fixed id. An empty string is a valid id.
 */
export function partId(lifecycle: PartLifecycle, event: EventLike): string | undefined {
  const id = idField(lifecycle.kind, event);
  return typeof id === "string" ? id : undefined;
}

function idField(kind: PartKind, event: EventLike): unknown {
  switch (kind) {
    case "toolCall":
      return event.toolCallId;
    case "step":
      return event.stepName;
    case "subagent":
      return event.subagentRunId;
    case "thinking":
    case "thinkingText":
      return kind;
    default:
      return event.messageId;
  }
}
