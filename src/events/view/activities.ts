import { type EventLike, stringField } from "../event.ts";
import { attributionOf, isFields, withMetadata } from "./message.ts";
import type { MessageList } from "./message-list.ts";
import { applyPatch } from "./patch.ts";

/**
 * Applies ACTIVITY_SNAPSHOT. It creates an activity, or replaces the message that has its id. With
 * `replace: false` it leaves the content of such a message alone.
 */
export function applyActivitySnapshot(list: MessageList, event: EventLike): void {
  const id = stringField(event, "messageId");
  const activityType = stringField(event, "activityType");
  const { content } = event;
  if (id === undefined || activityType === undefined || !isFields(content)) return;
  const replace = event.replace ?? true;
  const place = list.find(id);
  const activity = { id, role: "activity", activityType, content, ...attributionOf(event) };
  if (place === undefined) {
    list.append(withMetadata(activity, event));
  } else if (place.message.role !== "activity") {
    if (replace) list.replace(place, withMetadata(activity, event));
  } else if (replace) {
    // The activity belongs to whoever replaces it. All its other fields stay.
    const { subagentRunId: _, ...kept } = place.message;
    list.replace(place, withMetadata({ ...kept, ...activity }, event));
  } else {
    place.message = withMetadata(place.message, event);
  }
}

/** Applies ACTIVITY_DELTA. Its metadata counts even if its patch does not apply. */
export function applyActivityDelta(list: MessageList, event: EventLike): void {
  const id = stringField(event, "messageId");
  const activityType = stringField(event, "activityType");
  if (id === undefined || activityType === undefined) return;
  const place = list.find(id);
  if (place?.message.role !== "activity") return;
  place.message = withMetadata(place.message, event);
  const patched = applyPatch(place.message.content ?? {}, event.patch ?? []);
  if (patched === undefined) return;
  list.replace(place, { ...place.message, content: patched.document, activityType });
}
