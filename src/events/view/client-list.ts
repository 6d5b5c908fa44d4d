import { type ClientMessages, digestOfIds, isSentBack, type ListEnd } from "../client-messages.ts";
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
  for (const message of listOf(record.changed).filter(isFields)) {
    const place = list.find(message.id);
    if (place !== undefined) list.replace(place, message);
  }
  const places = [...list.places];
  for (const id of listOf(record.results)) replaceResult(places, brought.get(id));
  for (const placed of listOf(record.placed)) {
    if (Array.isArray(placed)) insertAfter(places, brought.get(placed[0]), placed[1]);
  }
  if (isFields(record.end)) cutAt(places, record.end as unknown as ListEnd);
  list.reset(places);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Puts the result of a tool call in the place of the call's other results: a client keeps one. */
function replaceResult(places: Place[], result: Message | undefined): void {
  if (result === undefined) return;
  const isOther = ({ message }: Place) =>
    message.role === "tool" && message.toolCallId === result.toolCallId;
  const at = places.findIndex(isOther);
  if (at === -1) return;
  places[at] = { message: result };
  for (let other = places.length - 1; other > at; other--) {
    const place = places[other];
    if (place !== undefined && isOther(place)) places.splice(other, 1);
  }
}

/** Inserts a message behind the one with the id `after`, or first if that is null. */
function insertAfter(places: Place[], message: Message | undefined, after: unknown): void {
  if (message === undefined || hasId(places, message.id)) return;
  const at = after === null ? 0 : places.findIndex((place) => place.message.id === after) + 1;
  if (after === null || at > 0) places.splice(at, 0, { message });
}

function hasId(places: readonly Place[], id: unknown): boolean {
  return places.some(({ message }) => message.id === id);
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
