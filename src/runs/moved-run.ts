import type { EventLike } from "../events/event.ts";
import { chunksOf } from "../events/json/chunks.ts";
import { type MessageDigest, MessageDigests } from "../events/message-digests.ts";
import { orNull, type StoredEventsRow, type StoredInputRow } from "../events/shared/places.ts";
import type { ReadSpan } from "../events/shared/put-back.ts";
import { type LargeEvent, MIN_SHARED_LENGTH, mayRepeat } from "../events/shared/repeating.ts";
import { eachStoredEvent, readStoredInput, UNREADABLE } from "../events/shared/stored-values.ts";
import type { CompactedRun } from "../protocol/compactor-messages.ts";
import type { MovedRun } from "../protocol/moved-threads.ts";

/** UTF-16 units of the texts in which a run is moved, unless a single event is longer. */
const CHUNK_LENGTH = 64 * 1024;

/** The input and the events of a stored run, with their values put back, as they are moved. */
export function movedTexts(
  row: StoredEventsRow & StoredInputRow,
  readSpan: ReadSpan,
): Pick<MovedRun, "input" | "events"> {
  const each = row.shared_events === null ? null : eachStoredEvent(row, readSpan);
  return { input: readStoredInput(row, readSpan), events: movedEvents(row.events, each) };
}

/**
 * The texts in which the events of a stored run are moved. `each`: the JSON of each of them, or null for a run without
 * shared values, whose events are all in `events`. A run that cannot be read gives a text that is no JSON.
 */
export function movedEvents(events: string, each: Iterable<string> | null): readonly string[] {
  if (each === null) return cutEvents(events);
  return orNull(() => cutEvents(each)) ?? [UNREADABLE];
}

/** The texts in which events are moved. `stored`: JSON of all of them, or of each. */
export function cutEvents(stored: string | Iterable<string>): readonly string[] {
  if (typeof stored !== "string") return chunksOf(stored, CHUNK_LENGTH);
  if (stored.length <= CHUNK_LENGTH) return [stored];
  const items = parseItems(stored);
  // Of another program: it is moved as it is.
  if (items === null) return [stored];
  return chunksOf(
    items.map((item) => JSON.stringify(item)),
    CHUNK_LENGTH,
  );
}

/** What is stored of a run that is imported, text by text: a run may be too long to be parsed at once. */
export class ImportedRun<Taken> {
  readonly run: MovedRun;
  readonly #takeOut: (events: readonly EventLike[]) => Taken;
  readonly #taken: Taken[] = [];
  readonly #messages = new MessageDigests();
  #read = 0;
  /** Whether some text is no JSON array of events. */
  #isForeign = false;

  /** `takeOut`: called for the events of each text. */
  constructor(run: MovedRun, takeOut: (events: readonly EventLike[]) => Taken) {
    this.run = run;
    this.#takeOut = takeOut;
  }

  /** Reads the next text. Returns whether it was the last. */
  readOn(): boolean {
    const text = this.run.events[this.#read++];
    if (text === undefined) return true;
    const items = parseItems(text);
    const isForeign = items === null || !items.every(isEvent);
    this.#isForeign ||= isForeign;
    if (!isForeign) {
      for (const event of items as EventLike[]) this.#messages.observe(event);
      this.#taken.push(this.#takeOut(items as EventLike[]));
    }
    return this.#read >= this.run.events.length;
  }

  get messages(): readonly MessageDigest[] {
    return this.#messages.entries();
  }

  /** One for each text, in order. Null for a run that holds something else than events: it is kept as it is. */
  get taken(): readonly Taken[] | null {
    return this.#isForeign ? null : this.#taken;
  }

  /** JSON of all its events. */
  get events(): string {
    return joinEvents(this.run.events);
  }
}

/** What is stored of an imported run where all of it is made ready at once. */
export function importedRun(run: MovedRun): CompactedRun {
  let index = 0;
  // After the opening bracket.
  let at = 1;
  const imported = new ImportedRun(run, (events) => {
    const large: LargeEvent[] = [];
    const texts = events.map((event) => JSON.stringify(event));
    for (const [place, { type }] of events.entries()) {
      const { length } = texts[place] ?? "";
      if (length >= MIN_SHARED_LENGTH && mayRepeat(type)) large.push({ type, index, at, length });
      index++;
      at += length + 1;
    }
    return { texts, large };
  });
  while (!imported.readOn());
  const { taken, messages } = imported;
  if (taken === null) return { events: imported.events, large: [], messages };
  const texts = taken.flatMap((part) => part.texts);
  return {
    events: `[${texts.join(",")}]`,
    large: taken.flatMap(({ large }) => large),
    messages,
  };
}

/** One JSON array of the items of several. A single text stays as it is. */
export function joinEvents(texts: readonly string[]): string {
  const [only = "[]"] = texts;
  if (texts.length <= 1) return only;
  const inner = texts.map((text) => text.slice(1, -1)).filter((text) => text !== "");
  return `[${inner.join(",")}]`;
}

/**
 * The first epoch of an imported thread that knows messages of runs which it does not have: theirs. The runs that
 * it has get higher epochs, so that a store can tell.
 */
export const REMOVED_RUNS_EPOCH = 1;

/**
 * The epochs of imported runs. A run keeps its epoch, unless that is not higher than the one before: runs of
 * version 1 have no epoch, and forks of their threads have it several times.
 */
export function nextEpoch(before: number, run: MovedRun): number {
  return Math.max(before + 1, run.epoch);
}

function parseItems(json: string): readonly unknown[] | null {
  try {
    const value: unknown = JSON.parse(json);
    return Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function isEvent(value: unknown): value is EventLike {
  return (
    typeof value === "object" && value !== null && typeof (value as EventLike).type === "string"
  );
}
