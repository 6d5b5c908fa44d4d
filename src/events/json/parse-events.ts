import type { EventLike } from "../event.ts";

function isEventLike(value: unknown): value is EventLike {
  return (
    typeof value === "object" && value !== null && "type" in value && typeof value.type === "string"
  );
}

/**
 * The events in a JSON array, or null when the text is no JSON array. Items that are no events are left
 * out: rows that other programs wrote may hold anything.
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
