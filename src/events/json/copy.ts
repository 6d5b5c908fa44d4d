import type { EventLike } from "../event.ts";
import { toStorable } from "./storable.ts";

/** Objects within one event beyond which it may be a graph without end, and goes the slow way. */
const MAX_OBJECTS = 100_000;
const MAX_DEPTH = 3000;
/** Of an array, which may have a length and no items. */
const MAX_ITEMS = 4_000_000;

type Plain = Record<string, unknown>;

/**
 * What `event` is at this moment, in objects of its own: agents use one object for several events.
 * Never throws. Plain objects and arrays are copied as they are. An event that holds anything else
 * (a class instance, a cycle, a getter that throws) becomes what JSON can hold of it, as in the store.
 */
export function copyEvent(event: EventLike): EventLike {
  try {
    if (isPlain(event)) return copyFields(event, null) as EventLike;
  } catch {
    // It is not plain all through: the slow way finds out what can be copied.
  }
  return copyStorable(event);
}

function copyStorable(event: EventLike): EventLike {
  try {
    const copy = toStorable(event).value as EventLike | null | undefined;
    // JSON does not see the getters of a class. Such an event stays the object that it is.
    return copy?.type === event.type ? copy : event;
  } catch {
    return event;
  }
}

class NotPlain extends Error {}

/** `copier` is made with the first value that holds others: most events have none. */
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
  /** The objects around the one that is copied, the outermost first. */
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
