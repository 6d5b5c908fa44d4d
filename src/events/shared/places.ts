import { isPacked, unpackPieces } from "./pieces.ts";
import type { Place } from "./put-back.ts";

/** The events of a stored run without their values, and a JSON array of the values' places, or null. */
export interface StoredEventsRow {
  readonly events: string;
  readonly shared_events: string | null;
}

/** The input of a stored run without its values, and a JSON array of the values' places, or null. */
export interface StoredInputRow {
  readonly input: string;
  readonly shared_input: string | null;
}

/** The places of all values of a stored run. */
export type PlacesRow = Pick<StoredEventsRow, "shared_events"> &
  Pick<StoredInputRow, "shared_input">;

/** Places as they are stored. Throws a SyntaxError or TypeError if they are not what we wrote. */
export function parsePlaces(json: string | null): readonly Place[] {
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

/** UTF-16 units of the values that were taken out of a run. */
export function sharedLength(row: PlacesRow): number {
  let length = 0;
  for (const [, , packed] of placesOf(row)) {
    for (const piece of unpackPieces(packed)) length += piece.length;
  }
  return length;
}

/** The result of `read`, or null if it finds JSON that another program wrote. */
export function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return null;
    throw error;
  }
}
