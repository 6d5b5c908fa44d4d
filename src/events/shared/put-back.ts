import type { EventLike } from "../event.ts";
import { joinPieces, type PackedPieces, type Span, unpackPieces } from "./pieces.ts";
import { fieldOfSlot } from "./take-out.ts";

/** The place of a value, and its pieces: see `TakenValue`. */
export type Place = readonly [slot: string, index: number, pieces: PackedPieces];

/** A part of a log, or null if it is missing. */
export type ReadSpan = (span: Span) => string | null;

/**
 * The JSON of each event of a run, with the values of `places` put back into `rest`. If a place is not
 * in `places`, its snapshot is missing, or its field is empty. Null if a value cannot be read.
 */
export function putBackEvents(
  rest: string,
  places: readonly Place[],
  readSpan: ReadSpan,
): readonly string[] | null {
  const texts: string[] = [];
  const events = JSON.parse(rest) as readonly EventLike[];
  const placesAt = Map.groupBy(places, ([, index]) => index);
  for (let index = 0; index <= events.length; index++) {
    let event = events[index];
    for (const [slot, , packed] of placesAt.get(index) ?? []) {
      const text = joinPieces(unpackPieces(packed), readSpan);
      if (text === null) return null;
      const field = fieldOfSlot(slot);
      if (field === null) {
        texts.push(text);
      } else if (event !== undefined) {
        event = { ...event, [field.holder]: withField(event[field.holder], field.field, text) };
      }
    }
    if (event !== undefined) texts.push(JSON.stringify(event));
  }
  return texts;
}

/** The JSON of a run's input, with the values of `places` put back. Null if a value cannot be read. */
export function putBackInput(
  rest: string,
  places: readonly Place[],
  readSpan: ReadSpan,
): string | null {
  let input: unknown = JSON.parse(rest);
  for (const [slot, , packed] of places) {
    const text = joinPieces(unpackPieces(packed), readSpan);
    if (text === null) return null;
    input = withField(input, fieldOfSlot(slot)?.field ?? slot, text);
  }
  return JSON.stringify(input);
}

/** The order of the fields is kept. */
function withField(holder: unknown, field: string, json: string): object {
  return { ...(holder as object), [field]: JSON.parse(json) as unknown };
}
