import type { EventLike } from "../event.ts";
import { joinPieces, type PackedPieces, type Span, unpackPieces } from "./pieces.ts";
import { fieldOfSlot, PART_SLOT } from "./take-out.ts";

/** The place of a value, and its pieces: see `TakenValue` and `StoredPart`. */
export type Place = readonly [slot: string, index: number, pieces: PackedPieces];

/** A part of a log, or null if it is missing. */
export type ReadSpan = (span: Span) => string | null;

/** JSON of events of a run, with commas between them. */
interface EventsText {
  readonly json: string;
  /** False for the JSON of one event. */
  readonly isPart: boolean;
}

/**
 * The JSON of the events of a run, with the values of `places` put back into `rest`. If a place is not
 * in `places`, its snapshot is missing, or its field is empty. Throws a TypeError if a value cannot be read, and a
 * SyntaxError if `rest` is no JSON.
 */
function* putBack(
  rest: string,
  places: readonly Place[],
  readSpan: ReadSpan,
): Generator<EventsText, void, undefined> {
  const events = JSON.parse(rest) as readonly EventLike[];
  const placesAt = Map.groupBy(places, ([, index]) => index);
  for (let index = 0; index <= events.length; index++) {
    let event = events[index];
    for (const [slot, , packed] of placesAt.get(index) ?? []) {
      const json = joinPieces(unpackPieces(packed), readSpan);
      if (json === null) throw new TypeError("a value of the run is missing");
      const field = fieldOfSlot(slot);
      if (field === null) {
        yield { json, isPart: slot === PART_SLOT };
      } else if (event !== undefined) {
        event = { ...event, [field.holder]: withField(event[field.holder], field.field, json) };
      }
    }
    if (event !== undefined) yield { json: JSON.stringify(event), isPart: false };
  }
}

/** The JSON array of the events of a run. Throws like `putBack`. */
export function putBackEvents(rest: string, places: readonly Place[], readSpan: ReadSpan): string {
  return `[${[...putBackTexts(rest, places, readSpan)].join(",")}]`;
}

/**
 * The JSON of the events of a run, one after another: each text has one event, or several with commas between them.
 * Throws like `putBack`.
 */
export function* putBackTexts(
  rest: string,
  places: readonly Place[],
  readSpan: ReadSpan,
): Generator<string, void, undefined> {
  for (const { json } of putBack(rest, places, readSpan)) yield json;
}

/** The JSON of each event of a run. Of a long run, a part is held in memory at a time. Throws like `putBack`. */
export function* putBackEachEvent(
  rest: string,
  places: readonly Place[],
  readSpan: ReadSpan,
): Generator<string, void, undefined> {
  for (const { json, isPart } of putBack(rest, places, readSpan)) {
    if (!isPart) yield json;
    else for (const event of JSON.parse(`[${json}]`) as unknown[]) yield JSON.stringify(event);
  }
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
