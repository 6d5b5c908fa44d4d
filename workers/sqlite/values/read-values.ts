import type { Span } from "../../../src/events/shared/pieces.ts";
import type { StoredEventsRow, StoredInputRow } from "../../../src/events/shared/places.ts";
import {
  eachStoredEvent,
  readStoredEvents,
  readStoredInput,
} from "../../../src/events/shared/stored-values.ts";
import type { ReadValueStatements } from "./statements.ts";

/** Reads stored runs with their values put back. */
export class ValueReader {
  readonly #statements: ReadValueStatements;

  constructor(statements: ReadValueStatements) {
    this.#statements = statements;
  }

  /** See `readStoredEvents`. */
  eventsOf(row: StoredEventsRow, slots?: (slot: string) => boolean): string {
    return readStoredEvents(row, this.readSpan, slots);
  }

  /** See `eachStoredEvent`. */
  eachEventOf(row: StoredEventsRow, slots?: (slot: string) => boolean): readonly string[] | null {
    return eachStoredEvent(row, this.readSpan, slots);
  }

  /** See `readStoredInput`. */
  inputOf(row: StoredInputRow): string {
    return readStoredInput(row, this.readSpan);
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
