import type { EventLike } from "../event.ts";
import { toStorable } from "./storable.ts";

/**
 * UTF-16 units of JSON that one event may take. A JavaScript string holds four times as many, and
 * has to hold the event together with its neighbours.
 */
export const MAX_EVENT_LENGTH = 128 * 1024 * 1024;

export interface SerializedValue {
  readonly json: string;
  /** Paths ("rawEvent.socket.parser", "items[2]") of what could not be stored; "" is the whole. */
  readonly lost: readonly string[];
}

export interface SerializedEvent extends Omit<SerializedValue, "json"> {
  /** Null when all of it is lost. */
  readonly json: string | null;
}

const nothingLost: readonly string[] = [];
const allLost: SerializedValue = { json: "null", lost: [""] };

/**
 * `event` as JSON; null if there is nothing of it to store: its `toJSON` says so, or it is a RAW
 * event and `rawEvents` is false (which also leaves out the `rawEvent` field of other events).
 * Never throws: what JSON cannot hold is left out, and named in `lost`. An event that is too long is
 * lost as a whole.
 */
export function serializeEvent(
  event: EventLike,
  options: { readonly rawEvents: boolean },
): SerializedEvent | null {
  let source: EventLike = event;
  if (!options.rawEvents) {
    if (event.type === "RAW") return null;
    if ("rawEvent" in event) source = withoutRawEvent(event);
  }
  const serialized = stringify(source);
  if (serialized === undefined || serialized.json.startsWith("{")) return serialized ?? null;
  return serialized.lost.length > 0 ? { json: null, lost: serialized.lost } : null;
}

/** Any value as JSON, by the same rule; "null" for what JSON has no word for. */
export function serializeValue(value: unknown): SerializedValue {
  return stringify(value) ?? { json: "null", lost: nothingLost };
}

function stringify(value: unknown): SerializedValue | undefined {
  try {
    const json = JSON.stringify(value);
    return json === undefined ? undefined : withinBounds({ json, lost: nothingLost });
  } catch {
    // Something in there has no JSON: the slow way finds out what.
    return stringifyStorable(value);
  }
}

function stringifyStorable(value: unknown): SerializedValue | undefined {
  try {
    const { value: storable, lost } = toStorable(value);
    const json = JSON.stringify(storable);
    if (json !== undefined) return withinBounds({ json, lost });
    return lost.length === 0 ? undefined : { json: "null", lost };
  } catch {
    // Longer than a string can be.
    return allLost;
  }
}

function withinBounds(serialized: SerializedValue): SerializedValue {
  return serialized.json.length > MAX_EVENT_LENGTH ? allLost : serialized;
}

function withoutRawEvent(event: EventLike): EventLike {
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(event)) {
    if (key === "rawEvent") continue;
    // Copied as it is, not read: a getter that throws must cost its own field alone.
    const descriptor = Object.getOwnPropertyDescriptor(event, key);
    if (descriptor) Object.defineProperty(copy, key, descriptor);
  }
  return copy as EventLike;
}
