import type { EventLike } from "../event.ts";
import { toStorable } from "./storable.ts";

/**
 * UTF-16 units of JSON that an event may take. A JavaScript string holds four times as many, and has to
 * hold a segment of several events.
 */
export const MAX_EVENT_LENGTH = 128 * 1024 * 1024;

export interface SerializedValue {
  readonly json: string;
  /**
   * Paths ("rawEvent.socket.parser", "items[2]") of the parts that JSON cannot hold. "" is the whole
   * value.
   */
  readonly lost: readonly string[];
}

export interface SerializedEvent extends Omit<SerializedValue, "json"> {
  /** Null when the whole event is lost. */
  readonly json: string | null;
}

const nothingLost: readonly string[] = [];
const allLost: SerializedValue = { json: "null", lost: [""] };

/**
 * `event` as JSON. Never throws: the parts that JSON cannot hold are left out and named in `lost`. An
 * event that is too long is lost as a whole.
 *
 * Null if nothing of the event has to be stored: its `toJSON` returns undefined, or it is a RAW event
 * and `rawEvents` is false. With `rawEvents` false, the field `rawEvent` of other events is left out
 * too.
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

/**
 * Any value as JSON, by the same rules. "null" for a value that JSON cannot express, such as undefined.
 */
export function serializeValue(value: unknown): SerializedValue {
  return stringify(value) ?? { json: "null", lost: nothingLost };
}

function stringify(value: unknown): SerializedValue | undefined {
  try {
    const json = JSON.stringify(value);
    return json === undefined ? undefined : withinBounds({ json, lost: nothingLost });
  } catch {
    // Some part of the value cannot be JSON: `toStorable` finds out which.
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
    // The JSON is longer than the longest string.
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
    // Copy the descriptor and do not read the field: a getter that throws must lose only its own field.
    const descriptor = Object.getOwnPropertyDescriptor(event, key);
    if (descriptor) Object.defineProperty(copy, key, descriptor);
  }
  return copy as EventLike;
}
