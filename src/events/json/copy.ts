import type { EventLike } from "../event.ts";
import { toStorable } from "./storable.ts";

/**
 * With more objects than this, an event may be a graph without end. It is then copied by `toStorable`.
 */
const MAX_OBJECTS = 100_000;
/** With objects nested deeper than this, an event is copied by `toStorable`. */
const MAX_DEPTH = 3000;
/** The longest array that is copied here: a sparse array may have a large length and few items. */
const MAX_ITEMS = 4_000_000;

type Plain = Record<string, unknown>;

/**
 * A deep copy of `event`, because agents use one object for several events. Never throws.
 *
 * Plain objects and arrays are copied as they are. An event that holds anything else (a class instance,
 * a cycle, a getter that throws) is reduced to what JSON can hold, as in the store.
 */
export function copyEvent(event: EventLike): EventLike {
  try {
    if (isPlain(event)) return copyFields(event, null) as EventLike;
  } catch {
    // Some part of the event is not plain: `toStorable` finds out what can be copied.
  }
  return copyStorable(event);
}

function copyStorable(event: EventLike): EventLike {
  try {
    const copy = toStorable(event).value as EventLike | null | undefined;
    // JSON does not see the getters of a class. An event that loses its type that way is not copied.
    return copy?.type === event.type ? copy : event;
  } catch {
    return event;
  }
}

class NotPlain extends Error {}

/** `copier` is made for the first nested value, since most events have none. */
function copyFields(object: object, copier: NestedCopier | null): Plain {
  const copy = { ...object } as Plain;
  for (const field in copy) {
    const value = copy[field];
    if (typeof value !== "object" || value === null) continue;
    copier ??= new NestedCopier();
    copy[field] = copier.copy(value, object);
  }
  return copy;
}

class NestedCopier {
  #objects = 0;
  /** The objects that contain the object being copied, the outermost first. */
  readonly #around: object[] = [];

  copy(value: object, holder: object): unknown {
    const around = this.#around;
    around.push(holder);
    const isEndless = ++this.#objects > MAX_OBJECTS || around.length > MAX_DEPTH;
    if (isEndless || around.includes(value)) throw new NotPlain();
    if (!Array.isArray(value) && !isPlain(value)) throw new NotPlain();
    const copy = Array.isArray(value) ? this.#copyItems(value) : copyFields(value, this);
    around.pop();
    return copy;
  }

  #copyItems(array: readonly unknown[]): unknown[] {
    if (array.length > MAX_ITEMS) throw new NotPlain();
    const copy = [...array];
    for (let at = 0; at < copy.length; at++) {
      const item = copy[at];
      if (typeof item === "object" && item !== null) copy[at] = this.copy(item, array);
    }
    return copy;
  }
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  return typeof (value as { toJSON?: unknown }).toJSON !== "function";
}
