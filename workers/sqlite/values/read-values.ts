import type { EventLike } from "../../../src/events/event.ts";
import type { Span } from "../../../src/events/shared/pieces.ts";
import { orNull, sharedLength } from "../../../src/events/shared/places.ts";
import {
  eachStoredEvent,
  readStoredEvents,
  readStoredInput,
  storedTexts,
} from "../../../src/events/shared/stored-values.ts";
import { parseEvents } from "../database/parse-events.ts";
import type { KnownChunks } from "./known-chunks.ts";
import { unpackText } from "./packed-text.ts";
import type {
  ChunkRow,
  ReadValueStatements,
  StoredEventsRow,
  StoredInputRow,
} from "./statements.ts";
import { placesJson } from "./stored-places.ts";

/** Reads stored runs with their values put back. */
export class ValueReader {
  readonly #statements: ReadValueStatements;
  readonly #known: KnownChunks | null;

  /** Pass `known` only where nothing is read that may be rolled back. */
  constructor(statements: ReadValueStatements, known: KnownChunks | null = null) {
    this.#statements = statements;
    this.#known = known;
  }

  /** See `readStoredEvents`. */
  eventsOf({ events, shared_events }: StoredEventsRow, slots?: (slot: string) => boolean): string {
    const row = { events, shared_events: placesJson(shared_events) };
    return readStoredEvents(row, this.readSpan, slots);
  }

  /** See `eachStoredEvent`. */
  eachEventOf({ events, shared_events }: StoredEventsRow): Iterable<string> {
    return eachStoredEvent({ events, shared_events: placesJson(shared_events) }, this.readSpan);
  }

  /** UTF-16 units of the JSON of the events of a run, approximately. */
  lengthOf({ events, shared_events }: StoredEventsRow): number {
    const places = { shared_events: placesJson(shared_events), shared_input: null };
    return events.length + sharedLength(places);
  }

  /** The events of a run. Of a long run, a part is held in memory at a time. Ends where the run cannot be read. */
  *parsedEventsOf({ events, shared_events }: StoredEventsRow): Generator<EventLike> {
    if (shared_events === null) {
      yield* parseEvents(events) ?? [];
      return;
    }
    const row = { events, shared_events: placesJson(shared_events) };
    const texts = storedTexts(row, this.readSpan);
    const next = () => orNull(() => texts.next());
    for (let text = next(); text?.done === false; text = next()) {
      yield* parseEvents(`[${text.value}]`) ?? [];
    }
  }

  /** See `readStoredInput`. */
  inputOf({ input, shared_input }: StoredInputRow): string {
    return readStoredInput({ input, shared_input: placesJson(shared_input) }, this.readSpan);
  }

  /** A part of a log. Null if a row of it is missing. */
  readonly readSpan = ({ log, from, length }: Span): string | null => {
    const to = from + length;
    const parts: string[] = [];
    let done = from;
    for (const row of this.#statements.chunksOfLog.iterate(log, to, log, from)) {
      const { at } = row;
      const text = at > done ? null : this.#textOf(log, row);
      if (text === null) return null;
      const part = text.slice(done - at, to - at);
      parts.push(part);
      done += part.length;
    }
    return done === to ? parts.join("") : null;
  };

  /** The text of a row of a log. Null if it cannot be read. */
  #textOf(log: number, { at, length, skip, holder }: ChunkRow): string | null {
    const known = this.#known?.get(log, at, length);
    if (known !== undefined) return known;
    const held = unpackText(this.#statements.textOfHolder.get(holder));
    if (held === null || held.length < skip + length) return null;
    const text = held.slice(skip, skip + length);
    this.#known?.add(log, at, text);
    return text;
  }
}
