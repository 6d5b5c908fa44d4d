import { type EventLike, stringField } from "../event.ts";
import { attributionOf, withMetadata } from "./message.ts";
import type { MessageList, Place } from "./message-list.ts";

/** Applies TEXT_MESSAGE_START, TEXT_MESSAGE_CONTENT or TEXT_MESSAGE_END. */
export function applyTextMessage(list: MessageList, event: EventLike): void {
  const id = stringField(event, "messageId");
  if (id === undefined) return;
  const place = list.find(id);
  // The content of an activity is structured: text would overwrite it.
  if (place?.message.role === "activity") return;
  if (event.type === "TEXT_MESSAGE_START") startText(list, place, id, event);
  else if (place === undefined) return;
  else if (event.type === "TEXT_MESSAGE_CONTENT") appendDelta(place, event);
  else place.message = withMetadata(place.message, event);
}

function startText(
  list: MessageList,
  place: Place | undefined,
  id: string,
  event: EventLike,
): void {
  if (place !== undefined) {
    place.message = withMetadata(place.message, event);
    return;
  }
  const { role = "assistant", name } = event;
  if (typeof role !== "string") return;
  const named = typeof name === "string" ? { name } : {};
  const message = { id, role, content: "", ...named, ...attributionOf(event) };
  list.append(withMetadata(message, event));
}

/** Appends the delta of `event` to the text of a message. Content of other kinds gives way to it. */
export function appendDelta(place: Place, event: EventLike): void {
  const delta = stringField(event, "delta");
  if (delta === undefined) return;
  const { message } = place;
  const text = typeof message.content === "string" ? message.content : "";
  place.message = withMetadata({ ...message, content: text + delta }, event);
}
