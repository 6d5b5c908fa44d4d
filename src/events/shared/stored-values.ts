import { orNull, parsePlaces, type StoredEventsRow, type StoredInputRow } from "./places.ts";
import { putBackEvents, putBackInput, type ReadSpan } from "./put-back.ts";

/** The result for a row whose values were deleted or changed: no JSON, so that the reader reports it. */
export const UNREADABLE = "";

/** The JSON of the events of a stored run. With `slots`, values of other slots are left out. */
export function readStoredEvents(
  row: StoredEventsRow,
  readSpan: ReadSpan,
  slots?: (slot: string) => boolean,
): string {
  if (row.shared_events === null) return row.events;
  const events = eachStoredEvent(row, readSpan, slots);
  return events === null ? UNREADABLE : `[${events.join(",")}]`;
}

/** The JSON of each event of a stored run that has values, or null if they cannot be read. */
export function eachStoredEvent(
  { events, shared_events }: StoredEventsRow,
  readSpan: ReadSpan,
  slots?: (slot: string) => boolean,
): readonly string[] | null {
  return orNull(() => {
    const places = parsePlaces(shared_events);
    const wanted = slots === undefined ? places : places.filter(([slot]) => slots(slot));
    return putBackEvents(events, wanted, readSpan);
  });
}

/** The JSON of the input of a stored run. */
export function readStoredInput(
  { input, shared_input: places }: StoredInputRow,
  readSpan: ReadSpan,
): string {
  if (places === null) return input;
  return orNull(() => putBackInput(input, parsePlaces(places), readSpan)) ?? UNREADABLE;
}
