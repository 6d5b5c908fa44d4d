import type { EventLike } from "../event.ts";
import { isFields, type Message, withoutNullTag } from "./message.ts";
import type { MessageList, Place } from "./message-list.ts";

/** Applies RUN_STARTED: the messages of its input that the view does not have are appended. */
export function applyRunStarted(list: MessageList, event: EventLike): void {
  if (!isFields(event.input)) return;
  for (const message of readMessages(event.input.messages) ?? []) {
    if (list.find(message.id) === undefined) list.append(message);
  }
}

/**
 * Applies MESSAGES_SNAPSHOT. Messages that the snapshot lacks are dropped, those that it has are
 * replaced where they stand, and new ones are appended. Agents do not send all activities and
 * reasoning back: the view keeps its own of either kind if the snapshot has none of that kind.
 */
export function applyMessagesSnapshot(list: MessageList, event: EventLike): void {
  const messages = readMessages(event.messages);
  if (messages === undefined) return;
  const roles = new Set(messages.map(({ role }) => role));
  const isKept = ({ role }: Message) =>
    (role === "activity" || role === "reasoning") && !roles.has(role);
  // The last of an id is the one that replaces. Of an id that the view has twice, both places become
  // the same one, as both messages become the same object in a client.
  const byId = new Map<unknown, Place>();
  const incoming = messages.map((message) => ({ message }));
  for (const place of incoming) byId.set(place.message.id, place);

  const places: Place[] = [];
  for (const place of list.places) {
    const next = isKept(place.message) ? place : byId.get(place.message.id);
    if (next !== undefined) places.push(next);
  }
  for (const place of incoming) {
    if (list.find(place.message.id) === undefined) places.push(place);
  }
  list.reset(places);
}

/**
 * Whether `list` is `next` after a MESSAGES_SNAPSHOT of `next`, of which each message has an id of its own:
 * what `applyMessagesSnapshot` does with the messages of the list, without making a list.
 */
export function snapshotGives(list: MessageList, next: MessageList): boolean {
  const has = (role: unknown) => next.places.some(({ message }) => message.role === role);
  const lacks = new Set(["activity", "reasoning"].filter((role) => !has(role)));
  let at = 0;
  for (const { message } of list.places) {
    if (lacks.has(message.role as string)) return false;
    if (next.find(message.id) === undefined) continue;
    if (next.places[at++]?.message.id !== message.id) return false;
  }
  return true;
}

/** Those of `value` that are messages, or undefined if it is no list. */
function readMessages(value: unknown): Message[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return (value as unknown[]).filter(isFields).map(withoutNullTag);
}
