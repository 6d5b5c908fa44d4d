import type { Span } from "../../../src/events/shared/pieces.ts";
import { putBackEvents, putBackInput } from "../../../src/events/shared/put-back.ts";
import type { KnownChunks } from "./known-chunks.ts";
import { unpackText } from "./packed-text.ts";
import type {
  ChunkRow,
  ReadValueStatements,
  StoredEventsRow,
  StoredInputRow,
} from "./statements.ts";
import { orNull, unpackPlaces } from "./stored-places.ts";

/** The result for a row whose values were deleted or changed: no JSON, so that the reader reports it. */
const UNREADABLE = "";

/** Reads stored runs with their values put back. */
export class ValueReader {
  readonly #statements: ReadValueStatements;
  readonly #known: KnownChunks | null;

  /** Pass `known` only where nothing is read that may be rolled back. */
  constructor(statements: ReadValueStatements, known: KnownChunks | null = null) {
    this.#statements = statements;
    this.#known = known;
  }

  /** The JSON of the events of a stored run. With `slots`, values of other slots are left out. */
  eventsOf(row: StoredEventsRow, slots?: (slot: string) => boolean): string {
    if (row.shared_events === null) return row.events;
    const events = this.eachEventOf(row, slots);
    return events === null ? UNREADABLE : `[${events.join(",")}]`;
  }

  /** The JSON of each event of a stored run that has values, or null if they cannot be read. */
  eachEventOf(row: StoredEventsRow, slots?: (slot: string) => boolean): readonly string[] | null {
    return orNull(() => {
      const places = unpackPlaces(row.shared_events);
      const wanted = slots === undefined ? places : places.filter(([slot]) => slots(slot));
      return putBackEvents(row.events, wanted, this.readSpan);
    });
  }

  /** The JSON of the input of a stored run. */
  inputOf({ input, shared_input: places }: StoredInputRow): string {
    if (places === null) return input;
    return orNull(() => putBackInput(input, unpackPlaces(places), this.readSpan)) ?? UNREADABLE;
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
