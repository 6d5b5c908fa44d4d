import type { EventLike } from "../../../src/events/event.ts";

function isEventLike(value: unknown): value is EventLike {
  return (
    typeof value === "object" && value !== null && "type" in value && typeof value.type === "string"
  );
}

/**
 * The events in a JSON array, or null when the text is not one. What is in the array and is no
 * event (rows of other writers hold anything) is left out.
 */
export function parseEvents(json: string): EventLike[] | null {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return null;
  }
  if (!Array.isArray(value)) return null;
  const items: unknown[] = value;
  return items.every(isEventLike) ? items : items.filter(isEventLike);
}
