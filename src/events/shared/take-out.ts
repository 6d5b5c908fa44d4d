import { type EventLike, isTerminal } from "../event.ts";
import type { PackedPieces } from "./pieces.ts";
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

/** The slot of a `StoredPart`. */
export const PART_SLOT = "PART";

/**
 * Events of a long run that were stored before the run: their JSON, with commas between them. Like a snapshot, they
 * were before the event at the position `index` in the rest.
 */
export interface StoredPart {
  readonly slot: typeof PART_SLOT;
  readonly index: number;
  /** Where their JSON is stored. */
  readonly pieces: PackedPieces;
  /** The length of their JSON in UTF-16 units. */
  readonly length: number;
}

/** The rest of a JSON text, and the values that were taken out of it. */
export interface TakenOut {
  /** The JSON without the values. A field that was taken out is empty here. */
  readonly rest: string;
  /** In the order in which they were in the text. */
  readonly values: readonly (TakenValue | StoredPart)[];
}

/** UTF-16 units of the JSON of the values. */
export function lengthOfValues(values: TakenOut["values"]): number {
  return values.reduce((sum, value) => sum + ("text" in value ? value.text : value).length, 0);
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

/** Stores events of a run, given as JSON with commas between them. Returns where they are stored. */
export type StorePart = (json: string) => PackedPieces;

/** Events that are turned into one text. */
const MAX_APPENDED = 1000;

/** UTF-16 units of JSON that one `StoredPart` has, and the rest of a long run, approximately. */
const PART_LENGTH = 1024 * 1024;

/**
 * The same for a run whose events come in pieces, each of which is kept as JSON.
 *
 * With a `StorePart`, the run may be longer than memory should hold. Its rest is then cut where a value was taken
 * out, and where it gets too long, and is stored in parts. What stays is each RUN_STARTED, each terminal event, and
 * the last events. Readers of the rest see from its last event how the run ended.
 */
export class TakenOutOfRun {
  readonly #values: (TakenValue | StoredPart)[] = [];
  /** JSON of events in the rest, before the last value. */
  readonly #rest: string[] = [];
  #restLength = 0;
  /** Events in the rest, before the last value. */
  #count = 0;
  /** JSON of the events after the last value. */
  #open: string[] = [];
  #openLength = 0;
  #openCount = 0;
  readonly #partLength: number;

  constructor(partLength = PART_LENGTH) {
    this.#partLength = partLength;
  }

  add(events: readonly EventLike[], store?: StorePart): void {
    let others: EventLike[] = [];
    const append = () => {
      this.#append(others);
      others = [];
      if (store !== undefined && this.#openLength >= this.#partLength) this.#storeOpen(store);
    };
    for (const event of events) {
      const isStart = event.type === "RUN_STARTED";
      const stays = isStart || isTerminal(event);
      const text = isSnapshot(event.type) ? JSON.stringify(event) : "";
      if (!stays && text.length < MIN_SHARED_LENGTH) {
        if (others.push(event) === MAX_APPENDED) append();
        continue;
      }
      append();
      this.#close(store);
      if (stays) {
        const taken = isStart ? takeOutOfEvent(event, this.#count) : { rest: event, values: [] };
        this.#values.push(...taken.values);
        this.#append([taken.rest]);
        this.#close();
      } else {
        this.#values.push({ slot: event.type, index: this.#count, text });
      }
    }
    append();
  }

  finish(): TakenOut {
    this.#close();
    return { rest: `[${this.#rest.join(",")}]`, values: this.#values };
  }

  #append(events: readonly EventLike[]): void {
    if (events.length === 0) return;
    const json = JSON.stringify(events).slice(1, -1);
    this.#open.push(json);
    this.#openLength += json.length;
    this.#openCount += events.length;
  }

  /** Ends the events after the last value: they become a part of the rest, or are stored if that is long already. */
  #close(store?: StorePart): void {
    if (this.#openCount === 0) return;
    if (store !== undefined && this.#restLength + this.#openLength > this.#partLength) {
      this.#storeOpen(store);
      return;
    }
    for (const json of this.#open) this.#rest.push(json);
    this.#restLength += this.#openLength;
    this.#count += this.#openCount;
    this.#forgetOpen();
  }

  #storeOpen(store: StorePart): void {
    const json = this.#open.join(",");
    const { length } = json;
    this.#values.push({ slot: PART_SLOT, index: this.#count, pieces: store(json), length });
    this.#forgetOpen();
  }

  #forgetOpen(): void {
    this.#open = [];
    this.#openLength = 0;
    this.#openCount = 0;
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
