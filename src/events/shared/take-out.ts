import type { EventLike } from "../event.ts";
import { isSnapshot, type LargeEvent, MIN_SHARED_LENGTH } from "./repeating.ts";

/** A value that was taken out of the events of a run, or out of its input. */
export interface TakenValue {
  /** The type of a snapshot, or the name of a field in a RUN_STARTED: `input.tools`. */
  readonly slot: string;
  /**
   * Where the value was. A snapshot stood before the event of this position in the rest, or behind another
   * snapshot that did. A field was in the event of this position.
   */
  readonly index: number;
  /** JSON: the whole event of a snapshot, or the value of a field. */
  readonly text: string;
}

/** JSON, and the values that were taken out of it. */
export interface TakenOut {
  /** JSON of the same kind. A field that was taken out is empty here. */
  readonly rest: string;
  readonly values: readonly TakenValue[];
}

/** The fields of a RUN_STARTED whose fields repeat: the input, and what the client's list of messages says. */
const HOLDERS = ["input", "clientMessages"] as const;

type Holder = (typeof HOLDERS)[number];

/** A field within a field of a RUN_STARTED, or within the run's input. */
interface Field {
  readonly holder: string;
  readonly field: string;
}

const slotOf = (holder: Holder, field: string): string => `${holder}.${field}`;

/** The field whose slot this is, or null for the slot of a snapshot. */
export function fieldOfSlot(slot: string): Field | null {
  const dot = slot.indexOf(".");
  return dot < 0 ? null : { holder: slot.slice(0, dot), field: slot.slice(dot + 1) };
}

/** Whether values of this slot hold messages of the thread as an event or the run's input brings them. */
export function slotHasMessages(slot: string): boolean {
  return slot === "MESSAGES_SNAPSHOT" || slot === "input.messages";
}

/** Takes the snapshots, and the long fields of inputs, out of events that are JSON already. */
export function takeOutOfText(json: string, large: readonly LargeEvent[]): TakenOut {
  const values: TakenValue[] = [];
  const parts: string[] = [];
  let done = 0;
  let removed = 0;
  for (const { type, index, at, length } of large) {
    const text = json.slice(at, at + length);
    const place = index - removed;
    if (isSnapshot(type)) {
      values.push({ slot: type, index: place, text });
      removed++;
      parts.push(json.slice(done, at));
      // The comma behind it goes too.
      done = at + length + (json[at + length] === "," ? 1 : 0);
    } else {
      const taken = takeOutOfEvent(JSON.parse(text) as EventLike, place);
      if (taken.values.length === 0) continue;
      values.push(...taken.values);
      parts.push(json.slice(done, at), JSON.stringify(taken.rest));
      done = at + length;
    }
  }
  if (values.length === 0) return { rest: json, values };
  parts.push(json.slice(done));
  // When the last event was taken out, the comma before it is left.
  const rest = parts.join("");
  return { rest: rest.endsWith(",]") ? `${rest.slice(0, -2)}]` : rest, values };
}

/** Takes the snapshots, and the long fields of inputs, out of events that came from JSON. */
export function takeOutOfEvents(events: readonly EventLike[]): TakenOut {
  const values: TakenValue[] = [];
  const rest: EventLike[] = [];
  for (const event of events) {
    if (isSnapshot(event.type)) {
      const text = JSON.stringify(event);
      if (text.length >= MIN_SHARED_LENGTH) {
        values.push({ slot: event.type, index: rest.length, text });
        continue;
      }
    } else if (event.type === "RUN_STARTED") {
      const taken = takeOutOfEvent(event, rest.length);
      values.push(...taken.values);
      rest.push(taken.rest);
      continue;
    }
    rest.push(event);
  }
  return { rest: JSON.stringify(rest), values };
}

/** Takes the long fields out of a run's input. What is no JSON object stays as it is. */
export function takeOutOfInput(json: string): TakenOut {
  const nothing = { rest: json, values: [] };
  if (json.length < MIN_SHARED_LENGTH) return nothing;
  const { rest, values } = takeOutOfFields("input", JSON.parse(json), 0);
  return values.length === 0 ? nothing : { rest: JSON.stringify(rest), values };
}

function takeOutOfEvent(
  event: EventLike,
  index: number,
): { readonly rest: EventLike; readonly values: readonly TakenValue[] } {
  const values: TakenValue[] = [];
  let rest = event;
  for (const holder of HOLDERS) {
    const taken = takeOutOfFields(holder, event[holder], index);
    if (taken.values.length === 0) continue;
    values.push(...taken.values);
    rest = { ...rest, [holder]: taken.rest };
  }
  return { rest, values };
}

function takeOutOfFields(
  holder: Holder,
  object: unknown,
  index: number,
): { readonly rest: unknown; readonly values: readonly TakenValue[] } {
  const values: TakenValue[] = [];
  if (typeof object !== "object" || object === null || Array.isArray(object)) {
    return { rest: object, values };
  }
  const rest: Record<string, unknown> = { ...object };
  for (const [field, value] of Object.entries(object)) {
    const empty = emptyOf(value);
    // Assigned, a key "__proto__" would be no field.
    if (empty === undefined || field === "__proto__") continue;
    const text = JSON.stringify(value);
    if (text.length < MIN_SHARED_LENGTH) continue;
    values.push({ slot: slotOf(holder, field), index, text });
    rest[field] = empty;
  }
  return { rest, values };
}

/** What stays in the place of a value: readers of the tables find the type that they expect. */
function emptyOf(value: unknown): unknown {
  if (typeof value === "string") return "";
  if (typeof value !== "object" || value === null) return undefined;
  return Array.isArray(value) ? [] : {};
}
