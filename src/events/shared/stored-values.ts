import { orNull, parsePlaces, type StoredEventsRow, type StoredInputRow } from "./places.ts";
import {
  type Place,
  putBackEachEvent,
  putBackEvents,
  putBackInput,
  putBackTexts,
  type ReadSpan,
} from "./put-back.ts";
import { PART_SLOT } from "./take-out.ts";

/** The result for a row whose values were deleted or changed: no JSON, so that the reader reports it. */
export const UNREADABLE = "";

/** The JSON of the events of a stored run. With `slots`, values of other slots are left out. */
export function readStoredEvents(
  row: StoredEventsRow,
  readSpan: ReadSpan,
  slots?: (slot: string) => boolean,
): string {
  if (row.shared_events === null) return row.events;
  return orNull(() => putBackEvents(row.events, wantedOf(row, slots), readSpan)) ?? UNREADABLE;
}

/**
 * The JSON of each event of a stored run that has values. Of a long run, a part is held in memory at a time. Throws
 * a TypeError or a SyntaxError if a value cannot be read: see `orNull`.
 */
export function* eachStoredEvent(
  row: StoredEventsRow,
  readSpan: ReadSpan,
  slots?: (slot: string) => boolean,
): Generator<string, void, undefined> {
  yield* putBackEachEvent(row.events, wantedOf(row, slots), readSpan);
}

/** The same, several events at a time: see `putBackTexts`. */
export function* storedTexts(
  row: StoredEventsRow,
  readSpan: ReadSpan,
): Generator<string, void, undefined> {
  yield* putBackTexts(row.events, wantedOf(row, undefined), readSpan);
}

function wantedOf(
  { shared_events }: StoredEventsRow,
  slots: ((slot: string) => boolean) | undefined,
): readonly Place[] {
  const places = parsePlaces(shared_events);
  if (slots === undefined) return places;
  return places.filter(([slot]) => slot === PART_SLOT || slots(slot));
}

/** The JSON of the input of a stored run. */
export function readStoredInput(
  { input, shared_input: places }: StoredInputRow,
  readSpan: ReadSpan,
): string {
  if (places === null) return input;
  return orNull(() => putBackInput(input, parsePlaces(places), readSpan)) ?? UNREADABLE;
}
