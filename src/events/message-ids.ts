import type { EventLike } from "./event.ts";

/**
 * The ids of all messages that `events` stream, or carry as history: in the input of a
 * RUN_STARTED and in a MESSAGES_SNAPSHOT. Messages without an id (or with an empty one) have none.
 */
export function collectMessageIds(events: readonly EventLike[]): Set<string> {
  const ids = new Set<string>();
  for (const event of events) {
    if (typeof event === "object" && event !== null) addMessageIds(ids, event);
  }
  return ids;
}

/** Adds those of one event to `ids`. */
export function addMessageIds(ids: Set<string>, event: EventLike): void {
  addId(ids, event.messageId);
  if (event.type === "MESSAGES_SNAPSHOT") addMessages(ids, event.messages);
  if (event.type === "RUN_STARTED" && typeof event.input === "object" && event.input !== null) {
    addMessages(ids, (event.input as { messages?: unknown }).messages);
  }
}

function addMessages(ids: Set<string>, messages: unknown): void {
  if (!Array.isArray(messages)) return;
  for (const message of messages as unknown[]) {
    if (typeof message === "object" && message !== null) {
      addId(ids, (message as { id?: unknown }).id);
    }
  }
}

function addId(ids: Set<string>, id: unknown): void {
  if (typeof id === "string" && id !== "") ids.add(id);
}
