import { type EventLike, stringField } from "../event.ts";
import {
  attributionOf,
  isFields,
  type Message,
  type ToolCall,
  toolCallOf,
  withMetadata,
} from "./message.ts";
import type { MessageList, Place } from "./message-list.ts";

/** Applies TOOL_CALL_START, TOOL_CALL_ARGS or TOOL_CALL_END. */
export function applyToolCall(list: MessageList, event: EventLike): void {
  const id = stringField(event, "toolCallId");
  if (id === undefined) return;
  const owner = list.findOwner(id);
  if (event.type === "TOOL_CALL_START") {
    const name = stringField(event, "toolCallName");
    if (name === undefined) return;
    if (owner === undefined) startToolCall(list, id, name, event);
    // A call may start again, when a run is resumed. Its arguments stay.
    else changeToolCall(owner, id, (call) => withMetadata(withFunction(call, { name }), event));
  } else if (owner === undefined) {
    return;
  } else if (event.type === "TOOL_CALL_END") {
    changeToolCall(owner, id, (call) => withMetadata(call, event));
  } else {
    const delta = stringField(event, "delta");
    if (delta === undefined) return;
    changeToolCall(owner, id, (call) => {
      const { arguments: before } = isFields(call.function) ? call.function : {};
      const text = typeof before === "string" ? before : "";
      return withMetadata(withFunction(call, { arguments: text + delta }), event);
    });
  }
}

/** Applies TOOL_CALL_RESULT: the result follows the message that has the call. */
export function applyToolCallResult(list: MessageList, event: EventLike): void {
  const id = stringField(event, "messageId");
  const toolCallId = stringField(event, "toolCallId");
  const { content } = event;
  if (id === undefined || toolCallId === undefined || content === undefined) return;
  const role = stringField(event, "role") || "tool";
  const result = { id, toolCallId, role, content, ...attributionOf(event) };
  const owner = list.findAssistant(toolCallId);
  if (owner === undefined) list.append(withMetadata(result, event));
  else list.insertResult(withMetadata(result, event), owner);
}

/** Puts what `change` makes of the tool call in its place. */
export function changeToolCall(
  owner: Place,
  id: string,
  change: (call: ToolCall) => ToolCall,
): void {
  const { message } = owner;
  const call = toolCallOf(message, id);
  if (call === undefined || !Array.isArray(message.toolCalls)) return;
  const toolCalls = [...(message.toolCalls as unknown[])];
  toolCalls[toolCalls.indexOf(call)] = change(call);
  owner.message = { ...message, toolCalls };
}

function withFunction(call: ToolCall, fields: object): ToolCall {
  return { ...call, function: { ...(call.function as object | undefined), ...fields } };
}

function startToolCall(list: MessageList, id: string, name: string, event: EventLike): void {
  const call = { id, type: "function", function: { name, arguments: "" } };
  list.addToolCall(parentOf(list, id, event), withMetadata(call, event));
}

/**
 * The assistant message that a new tool call belongs to. There is a new message for a call that names
 * no parent, an unknown one, or one that is not an assistant message.
 */
function parentOf(list: MessageList, toolCallId: string, event: EventLike): Place {
  // An empty id names no parent: agents send it.
  const parentId = stringField(event, "parentMessageId") || undefined;
  const parent = parentId === undefined ? undefined : list.find(parentId);
  if (parent?.message.role === "assistant") return parent;
  const id = parentId === undefined || parent !== undefined ? toolCallId : parentId;
  // The message belongs to the subagent, unless its id was known before.
  const attribution = list.find(id) === undefined ? attributionOf(event) : {};
  const message: Message = { id, role: "assistant", toolCalls: [], ...attribution };
  return list.append(message);
}
