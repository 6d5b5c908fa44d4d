import { type EventLike, stringField } from "../event.ts";
import { attributionOf, withMetadata } from "./message.ts";
import type { MessageList } from "./message-list.ts";
import { appendDelta } from "./text-messages.ts";
import { changeToolCall } from "./tool-calls.ts";

/** Applies REASONING_MESSAGE_START, REASONING_MESSAGE_CONTENT or REASONING_MESSAGE_END. */
export function applyReasoningMessage(list: MessageList, event: EventLike): void {
  const id = stringField(event, "messageId");
  if (id === undefined) return;
  const place = list.find(id);
  if (place === undefined) {
    if (event.type !== "REASONING_MESSAGE_START") return;
    const message = { id, role: "reasoning", content: "", ...attributionOf(event) };
    list.append(withMetadata(message, event));
  } else if (event.type === "REASONING_MESSAGE_CONTENT") {
    // An activity of this id loses its content, as in clients of 0.0.59.
    appendDelta(place, event);
  } else {
    place.message = withMetadata(place.message, event);
  }
}

/** Applies REASONING_ENCRYPTED_VALUE: to a message that is no activity, or to a tool call. */
export function applyEncryptedValue(list: MessageList, event: EventLike): void {
  const entityId = stringField(event, "entityId");
  const encryptedValue = stringField(event, "encryptedValue");
  if (entityId === undefined || encryptedValue === undefined) return;
  if (event.subtype === "message") {
    const place = list.find(entityId);
    if (place === undefined || place.message.role === "activity") return;
    place.message = { ...place.message, encryptedValue };
  } else if (event.subtype === "tool-call") {
    const owner = list.findAssistant(entityId);
    if (owner === undefined) return;
    changeToolCall(owner, entityId, (call) => ({ ...call, encryptedValue }));
  }
}
