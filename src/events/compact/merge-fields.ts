import type { EventLike } from "../event.ts";

/** An event that is merged from several events. Always a new object, never an event of the agent. */
export interface MergedEvent {
  type: string;
  [field: string]: unknown;
}

/** True if `metadata` of `event` is absent or an object, as a client's reducer expects. */
export function hasPlainMetadata(event: EventLike): boolean {
  const { metadata } = event;
  return (
    metadata === undefined ||
    (typeof metadata === "object" && metadata !== null && !Array.isArray(metadata))
  );
}

/**
 * Merges two `metadata` as a reducer does that gets both in turn: for each key, the later value wins.
 */
export function mergeMetadata(existing: unknown, incoming: unknown): unknown {
  if (incoming === undefined) return existing;
  return { ...(existing as object | undefined), ...(incoming as object) };
}

/** Collects `rawEvent` fields: a single one stays as it is, several become an array, in order. */
export class RawEvents {
  #only: unknown;
  #all: unknown[] | undefined;

  add(rawEvent: unknown): void {
    if (rawEvent === undefined || rawEvent === null) return;
    if (this.#only === undefined) this.#only = rawEvent;
    else if (this.#all === undefined) this.#all = [this.#only, rawEvent];
    else this.#all.push(rawEvent);
  }

  /** Undefined if no event had a `rawEvent`. */
  get value(): unknown {
    return this.#all ?? this.#only;
  }
}

/** Whether two values are equal as JSON: by content, in any order of keys. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every(
    (key) =>
      Object.hasOwn(b, key) &&
      sameValue((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]),
  );
}
