import type { EventLike } from "./event.ts";

/** What an event opens, continues or closes. */
export type PartKind =
  | "text"
  | "toolCall"
  | "reasoning"
  | "reasoningSpan"
  | "thinking"
  | "thinkingText"
  | "step"
  | "subagent";

export interface PartRole {
  readonly kind: PartKind;
  readonly act: "open" | "continue" | "close";
}

// A reasoning span and the reasoning messages inside it are two kinds: they may share an id.
const roles = new Map<string, PartRole>([
  ["TEXT_MESSAGE_START", { kind: "text", act: "open" }],
  ["TEXT_MESSAGE_CONTENT", { kind: "text", act: "continue" }],
  ["TEXT_MESSAGE_END", { kind: "text", act: "close" }],
  ["TOOL_CALL_START", { kind: "toolCall", act: "open" }],
  ["TOOL_CALL_ARGS", { kind: "toolCall", act: "continue" }],
  ["TOOL_CALL_END", { kind: "toolCall", act: "close" }],
  ["REASONING_START", { kind: "reasoningSpan", act: "open" }],
  ["REASONING_END", { kind: "reasoningSpan", act: "close" }],
  ["REASONING_MESSAGE_START", { kind: "reasoning", act: "open" }],
  ["REASONING_MESSAGE_CONTENT", { kind: "reasoning", act: "continue" }],
  ["REASONING_MESSAGE_END", { kind: "reasoning", act: "close" }],
  ["THINKING_START", { kind: "thinking", act: "open" }],
  ["THINKING_END", { kind: "thinking", act: "close" }],
  ["THINKING_TEXT_MESSAGE_START", { kind: "thinkingText", act: "open" }],
  ["THINKING_TEXT_MESSAGE_CONTENT", { kind: "thinkingText", act: "continue" }],
  ["THINKING_TEXT_MESSAGE_END", { kind: "thinkingText", act: "close" }],
  ["STEP_STARTED", { kind: "step", act: "open" }],
  ["STEP_FINISHED", { kind: "step", act: "close" }],
  ["SUBAGENT_STARTED", { kind: "subagent", act: "open" }],
  ["SUBAGENT_FINISHED", { kind: "subagent", act: "close" }],
  ["SUBAGENT_ERROR", { kind: "subagent", act: "close" }],
]);

/** The role an event of `type` plays for the parts of a run; undefined if it plays none. */
export function partRole(type: string): PartRole | undefined {
  return roles.get(type);
}

/**
 * The id under which `event` names its part; undefined if the event lacks it.
 * Thinking parts have no id of their own, and go by a fixed one. An empty id is an id.
 */
export function partId(role: PartRole, event: EventLike): string | undefined {
  const id = idField(role.kind, event);
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
