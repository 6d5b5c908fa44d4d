import {
  type ClientMessages,
  digestOfIds,
  isSentBack,
  type ListEnd,
  toolCallsOf,
} from "../client-messages.ts";
import type { EventLike } from "../event.ts";
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
  const places = [...list.places];
  for (const edit of listOf(record.edits).filter(isFields)) {
    const message = isFields(edit.message) ? edit.message : brought.get(edit.id);
    if (message !== undefined) applyEdit(places, message, edit.after);
  }
  if (isFields(record.end)) cutAt(places, record.end as unknown as ListEnd);
  list.reset(places);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/**
 * Puts a message in the place of the one that it was, or of those that make or answer the same tool
 * calls, of which a client keeps one; or else behind the message `after`, first if that is null.
 */
function applyEdit(places: Place[], message: Message, after: unknown): void {
  const { id, role } = message;
  const calls = new Set(toolCallsOf(message));
  const isSame = (place: Place) => place.message.id === id && place.message.role === role;
  const hasSameCalls = (place: Place) => toolCallsOf(place.message).some((call) => calls.has(call));
  const isReplaced = places.some(isSame) ? isSame : hasSameCalls;
  const at = places.findIndex(isReplaced);
  if (at >= 0) {
    places[at] = { message };
    for (let other = places.length - 1; other > at; other--) {
      const place = places[other];
      if (place !== undefined && isReplaced(place)) places.splice(other, 1);
    }
    return;
  }
  const before = after === null ? -1 : places.findLastIndex((place) => place.message.id === after);
  if (after === null || before >= 0) places.splice(before + 1, 0, { message });
}

/** Drops what follows the end of a list with which the view begins. */
function cutAt(places: Place[], { id, count, digest }: ListEnd): void {
  const sent = places.filter(({ message }) => isSentBack(message));
  // Behind the end there may be activities and reasoning alone: those are not in a client's list.
  if (sent.length <= count) return;
  const ids = sent.slice(0, count).map(({ message }) => String(message.id));
  if (ids.at(-1) !== id || digestOfIds(ids) !== digest) return;
  const last = sent[count - 1];
  if (last !== undefined) places.splice(places.indexOf(last) + 1);
}

/**
 * The client's list, with the activities and the reasoning of the view that it leaves out, each behind
 * the message that it follows in the view. What follows a message that is gone is gone with it.
 */
function takeList(places: readonly Place[], messages: readonly Message[]): Place[] {
  const taken: Place[] = messages.map((message) => ({ message }));
  const listed = new Set(messages.map(({ id }) => id));
  const hasReasoning = messages.some(({ role }) => role === "reasoning");
  let at = 0;
  let isGone = false;
  for (const place of places) {
    const { id, role } = place.message;
    if (listed.has(id)) {
      at = taken.findIndex(({ message }) => message.id === id) + 1;
      isGone = false;
    } else if (isSentBack(place.message)) {
      isGone = true;
    } else if (!isGone && (role === "activity" || !hasReasoning)) {
      taken.splice(at++, 0, place);
    }
  }
  return taken;
}
