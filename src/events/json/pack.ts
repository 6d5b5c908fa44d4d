import type { EventLike } from "../event.ts";

/**
 * Consecutive events with the same fields, stored by column. Equal values are stored once. The values
 * of each field that differs are one JSON array. For the words that a model streams, this takes a
 * seventh of the memory of the events. Events with nested values take as much as their JSON.
 */
class PackedRow {
  readonly #count: number;
  readonly #template: EventLike;
  readonly #columns: readonly (readonly [field: string, values: string])[];

  constructor(events: readonly EventLike[]) {
    const [first] = events as readonly [EventLike];
    this.#count = events.length;
    this.#template = { ...first };
    this.#columns = Object.keys(first)
      .filter((field) => events.some((event) => event[field] !== first[field]))
      .map((field) => [field, JSON.stringify(events.map((event) => event[field]))]);
  }

  unpackInto(events: EventLike[]): void {
    const columns = this.#columns.map(
      ([field, values]) => [field, JSON.parse(values) as unknown[]] as const,
    );
    for (let at = 0; at < this.#count; at++) {
      const event: Record<string, unknown> = { ...this.#template };
      // Every field exists in the template, so the order of the fields is kept.
      for (const [field, values] of columns) event[field] = values[at];
      events.push(event as EventLike);
    }
  }
}

/** Events in less memory. An event without similar neighbours stays the same object. */
export type PackedEvents = readonly (EventLike | PackedRow)[];

/** Fewer similar events than this are not packed. */
const MIN_ROW = 8;

/** Packs events that no other code may change any more. */
export function packEvents(events: readonly EventLike[]): PackedEvents {
  const packed: (EventLike | PackedRow)[] = [];
  for (let from = 0; from < events.length; ) {
    const to = endOfRow(events, from);
    const row = events.slice(from, to);
    const packedRow = row.length >= MIN_ROW ? packRow(row) : null;
    if (packedRow !== null) packed.push(packedRow);
    else for (const event of row) packed.push(event);
    from = to;
  }
  return packed;
}

/** Null if the JSON of a field would be longer than the longest string. */
function packRow(events: readonly EventLike[]): PackedRow | null {
  try {
    return new PackedRow(events);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** The events as they were packed: the same fields in the same order. Packed rows give new objects. */
export function unpackEvents(packed: PackedEvents): EventLike[] {
  const events: EventLike[] = [];
  for (const item of packed) {
    if (item instanceof PackedRow) item.unpackInto(events);
    else events.push(item);
  }
  return events;
}

function endOfRow(events: readonly EventLike[], from: number): number {
  let to = from + 1;
  try {
    const fields = fieldsOf(events[from]);
    while (fields !== null && to < events.length && sameFields(fields, fieldsOf(events[to]))) to++;
  } catch {
    // A getter or a proxy of the agent threw: the row ends before that event.
  }
  return to;
}

/**
 * An event with more values than this, nested ones included, stays as it is: packing a thousand of them would
 * block the event loop.
 */
const MAX_VALUES = 64;

/** How many more values of an event may be looked at. Bounds the depth too. */
interface Budget {
  left: number;
}

/** The fields of a plain event that JSON gives back unchanged. Null for any other event. */
function fieldsOf(event: EventLike | undefined): readonly string[] | null {
  return event === undefined ? null : fieldsOfObject(event, { left: MAX_VALUES });
}

function fieldsOfObject(object: object, budget: Budget): readonly string[] | null {
  if (Object.getPrototypeOf(object) !== Object.prototype) return null;
  if (Object.getOwnPropertySymbols(object).length > 0) return null;
  const fields = Object.keys(object);
  const values = object as Readonly<Record<string, unknown>>;
  // Assigning to "__proto__" would set the prototype, not a field.
  const isPacked = fields.every((field) => field !== "__proto__" && isJson(values[field], budget));
  return isPacked ? fields : null;
}

function sameFields(fields: readonly string[], others: readonly string[] | null): boolean {
  return others?.length === fields.length && others.every((field, at) => field === fields[at]);
}

/** Whether JSON gives a value back unchanged, and there are not too many values in it. */
function isJson(value: unknown, budget: Budget): boolean {
  if (--budget.left < 0) return false;
  if (typeof value === "number") return Number.isFinite(value) && !Object.is(value, -0);
  if (typeof value === "string" || typeof value === "boolean" || value === null) return true;
  if (typeof value !== "object") return false;
  if (!Array.isArray(value)) return fieldsOfObject(value, budget) !== null;
  if (Object.getPrototypeOf(value) !== Array.prototype || value.length > budget.left) return false;
  // Beside its items, an array has the key "length". It may have other fields, or a hole.
  if (Reflect.ownKeys(value).length !== value.length + 1) return false;
  return value.every((item) => isJson(item, budget));
}
