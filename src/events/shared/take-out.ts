import type { EventLike } from "../event.ts";
import { isSnapshot, type LargeEvent, MIN_SHARED_LENGTH } from "./repeating.ts";

/** A value that was taken out of a run's events or input. */
export interface TakenValue {
  /** The type of a snapshot, or the name of a field in a RUN_STARTED: `input.tools`. */
  readonly slot: string;
  /**
   * The position of the value. A snapshot was before the event at this position in the rest, after
   * other snapshots of the same position. A field was in the event at this position.
   */
  readonly index: number;
  /** JSON: the whole event of a snapshot, or the value of a field. */
  readonly text: string;
}

/** The rest of a JSON text, and the values that were taken out of it. */
export interface TakenOut {
  /** The JSON without the values. A field that was taken out is empty here. */
  readonly rest: string;
  readonly values: readonly TakenValue[];
}

/** The fields of a RUN_STARTED whose own fields repeat from run to run. */
const HOLDERS = ["input", "clientMessages"] as const;

type Holder = (typeof HOLDERS)[number];

/** A field within a field of a RUN_STARTED, or within the run's input. */
interface Field {
  readonly holder: string;
  readonly field: string;
}

const slotOf = (holder: Holder, field: string): string => `${holder}.${field}`;

/** The field of a slot, or null for the slot of a snapshot. */
export function fieldOfSlot(slot: string): Field | null {
  const dot = slot.indexOf(".");
  return dot < 0 ? null : { holder: slot.slice(0, dot), field: slot.slice(dot + 1) };
}

/** Whether the values of this slot are messages of the thread, from an event or from a run's input. */
export function slotHasMessages(slot: string): boolean {
  return slot === "MESSAGES_SNAPSHOT" || slot === "input.messages";
}

/** Takes the snapshots and the long fields of inputs out of the JSON of events. */
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
      // Remove the comma after the snapshot too.
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
  // If the last event was taken out, remove the comma before it.
  const rest = parts.join("");
  return { rest: rest.endsWith(",]") ? `${rest.slice(0, -2)}]` : rest, values };
}

/** Takes the snapshots and the long fields of inputs out of parsed events. */
export function takeOutOfEvents(events: readonly EventLike[]): TakenOut {
  const run = new TakenOutOfRun();
  run.add(events);
  return run.finish();
}

/** The same for a run whose events come in pieces, each of which is kept as JSON. */
export class TakenOutOfRun {
  readonly #values: TakenValue[] = [];
  /** They begin with a bracket or a comma, so that `finish` makes one copy of them. */
  readonly #pieces: string[] = [];
  /** Events in the rest. */
  #count = 0;

  add(events: readonly EventLike[]): void {
    const rest: EventLike[] = [];
    for (const event of events) {
      if (isSnapshot(event.type)) {
        const text = JSON.stringify(event);
        if (text.length >= MIN_SHARED_LENGTH) {
          this.#values.push({ slot: event.type, index: this.#count + rest.length, text });
          continue;
        }
      } else if (event.type === "RUN_STARTED") {
        const taken = takeOutOfEvent(event, this.#count + rest.length);
        this.#values.push(...taken.values);
        rest.push(taken.rest);
        continue;
      }
      rest.push(event);
    }
    if (rest.length === 0) return;
    this.#pieces.push(this.#count === 0 ? "[" : ",", JSON.stringify(rest).slice(1, -1));
    this.#count += rest.length;
  }

  finish(): TakenOut {
    const pieces = this.#count === 0 ? ["["] : this.#pieces.splice(0);
    pieces.push("]");
    return { rest: pieces.join(""), values: this.#values };
  }
}

/** Takes the long fields out of a run's input. A text that is no JSON object is not changed. */
export function takeOutOfInput(json: string): TakenOut {
  const nothing = { rest: json, values: [] };
  if (json.length < MIN_SHARED_LENGTH) return nothing;
  const { rest, values } = takeOutOfFields("input", parse(json), 0);
  return values.length === 0 ? nothing : { rest: JSON.stringify(rest), values };
}

/** The value of a JSON text, or null. Another program may have stored an input that is no JSON. */
function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
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
    // Assigning to "__proto__" would set the prototype, not a field.
    if (empty === undefined || field === "__proto__") continue;
    const text = JSON.stringify(value);
    if (text.length < MIN_SHARED_LENGTH) continue;
    values.push({ slot: slotOf(holder, field), index, text });
    rest[field] = empty;
  }
  return { rest, values };
}

/** The empty value that replaces a value. It has the same type, which readers of the tables expect. */
function emptyOf(value: unknown): unknown {
  if (typeof value === "string") return "";
  if (typeof value !== "object" || value === null) return undefined;
  return Array.isArray(value) ? [] : {};
}
