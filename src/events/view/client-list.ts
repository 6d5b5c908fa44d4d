import { type ClientMessages, digestOfIds, isSentBack, type ListEnd } from "../client-messages.ts";
import type { EventLike } from "../event.ts";
import { EditedPlaces } from "./edited-places.ts";
import { isFields, type Message } from "./message.ts";
import type { MessageList, Place } from "./message-list.ts";

/**
 * Applies what a stored RUN_STARTED says of the client's list of messages (`clientMessages`), before the
 * new messages of its input are appended. What is no such record, or names what is not in the view, has
 * no effect.
 */
export function applyClientMessages(list: MessageList, event: EventLike): void {
  const { clientMessages, input } = event;
  if (!isFields(clientMessages)) return;
  const record = clientMessages as ClientMessages;
  const messages = listOf(isFields(input) ? input.messages : []).filter(isFields);
  if (record.authoritative === true) {
    list.reset(takeList(list.places, messages));
    return;
  }
  const brought = new Map(messages.map((message) => [message.id, message]));
  const edited = new EditedPlaces(list.places);
  for (const edit of listOf(record.edits).filter(isFields)) {
    const message = isFields(edit.message) ? edit.message : brought.get(edit.id);
    if (message !== undefined) edited.apply(message, edit.after);
  }
  const places = edited.toArray();
  if (isFields(record.end)) cutAt(places, record.end as unknown as ListEnd);
  list.reset(places);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/**
 * Drops what follows the end of a list with which the view begins. Of a thread whose oldest runs were removed, the
 * view lacks the beginning of the list: then fewer messages are before the end in the view than in the list.
 */
function cutAt(places: Place[], { id, count, digest }: ListEnd): void {
  const sent = places.filter(({ message }) => isSentBack(message));
  const lastAt = sent.findLastIndex(({ message }) => String(message.id) === id);
  const isBeginning = () => {
    const ids = sent.slice(0, count).map(({ message }) => String(message.id));
    return ids.length === count && ids.at(-1) === id && digestOfIds(ids) === digest;
  };
  const lacksBeginning = lastAt >= 0 && lastAt < count - 1;
  const end = lacksBeginning ? lastAt : isBeginning() ? count - 1 : -1;
  // Behind the end there may be activities and reasoning alone: those are not in a client's list.
  if (end < 0 || end >= sent.length - 1) return;
  const last = sent[end];
  if (last !== undefined) places.splice(places.indexOf(last) + 1);
}

/**
 * The client's list, with the activities and the reasoning of the view that it leaves out, each behind
 * the message that it follows in the view. What follows a message that is gone is gone with it.
 */
function takeList(places: readonly Place[], messages: readonly Message[]): Place[] {
  const positions = new Map<unknown, number>();
  for (const [at, { id }] of messages.entries()) if (!positions.has(id)) positions.set(id, at);
  /** By the position of a message of the list, what follows it. */
  const following = new Map<number, Place[]>();
  const hasReasoning = messages.some(({ role }) => role === "reasoning");
  let position = -1;
  let at = 0;
  let isGone = false;
  for (const place of places) {
    const { id, role } = place.message;
    const listed = positions.get(id);
    if (listed !== undefined) {
      position = listed;
      at = 0;
      isGone = false;
    } else if (isSentBack(place.message)) {
      isGone = true;
    } else if (!isGone && (role === "activity" || !hasReasoning)) {
      const places = following.get(position) ?? [];
      following.set(position, places);
      places.splice(at++, 0, place);
    }
  }
  const after = (position: number) => following.get(position) ?? [];
  return [...after(-1), ...messages.flatMap((message, at) => [{ message }, ...after(at)])];
}
