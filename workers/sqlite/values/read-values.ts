import { isPacked, type Span } from "../../../src/events/shared/pieces.ts";
import { type Place, putBackEvents, putBackInput } from "../../../src/events/shared/put-back.ts";
import type {
  PlacesRow,
  ReadValueStatements,
  StoredEventsRow,
  StoredInputRow,
} from "./statements.ts";

/** The result for a row whose values were deleted or changed: no JSON, so that the reader reports it. */
const UNREADABLE = "";

/** Reads stored runs with their values put back. */
export class ValueReader {
  readonly #statements: ReadValueStatements;

  constructor(statements: ReadValueStatements) {
    this.#statements = statements;
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
      const places = parsePlaces(row.shared_events);
      const wanted = slots === undefined ? places : places.filter(([slot]) => slots(slot));
      return putBackEvents(row.events, wanted, this.readSpan);
    });
  }

  /** The JSON of the input of a stored run. */
  inputOf({ input, shared_input: places }: StoredInputRow): string {
    if (places === null) return input;
    return orNull(() => putBackInput(input, parsePlaces(places), this.readSpan)) ?? UNREADABLE;
  }

  /** A part of a log. Null if a row of it is missing. */
  readonly readSpan = ({ log, from, length }: Span): string | null => {
    const to = from + length;
    const parts: string[] = [];
    let done = from;
    for (const { at, text } of this.#statements.chunksOfLog.iterate(log, to, log, from)) {
      if (at > done || text === null) return null;
      const part = text.slice(done - at, to - at);
      parts.push(part);
      done += part.length;
    }
    return done === to ? parts.join("") : null;
  };
}

/** Places as they are stored. Throws if they are not what we wrote. */
function parsePlaces(json: string | null): readonly Place[] {
  const places: unknown = json === null ? [] : JSON.parse(json);
  if (!Array.isArray(places) || !places.every(isPlace)) throw new TypeError("no places");
  return places;
}

function isPlace(value: unknown): value is Place {
  if (!Array.isArray(value)) return false;
  const [slot, index, pieces] = value as unknown[];
  return typeof slot === "string" && typeof index === "number" && isPacked(pieces);
}

/** The places of a run in which values were stored, in that order. None where somebody else has written them. */
export function placesOf({ shared_events, shared_input }: PlacesRow): readonly Place[] {
  return [shared_events, shared_input].flatMap((json) => orNull(() => parsePlaces(json)) ?? []);
}

/** The result of `read`, or null if it finds JSON that another program wrote. */
function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return null;
    throw error;
  }
}
