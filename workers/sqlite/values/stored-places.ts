import { isPacked } from "../../../src/events/shared/pieces.ts";
import type { Place } from "../../../src/events/shared/put-back.ts";
import { packText, type StoredText, unpackText } from "./packed-text.ts";
import type { PlacesRow } from "./statements.ts";

/**
 * What most places consist of. Files are read with the same dictionary with which they were written, so it must
 * never change.
 */
const DICTIONARY = Buffer.from(
  `[["input.messages",0,["input.tools",0,["input.context",0,["clientMessages.messages",0,` +
    String.raw`[["input.state",0,["{\"messages\":",1,0,"],\"step\":null}"]],` +
    String.raw`["MESSAGES_SNAPSHOT",2,["{\"type\":\"MESSAGES_SNAPSHOT\",\"messages\":",3,0,"]}"]],` +
    String.raw`["STATE_SNAPSHOT",4,["{\"type\":\"STATE_SNAPSHOT\",\"snapshot\":",5,0,"]}}"]]]`,
);

/** The places of values as they are stored, or null for none. */
export function packPlaces(places: readonly Place[]): StoredText | null {
  return places.length === 0 ? null : packText(JSON.stringify(places), DICTIONARY);
}

/**
 * The places that are stored in a column.
 *
 * @throws {TypeError | SyntaxError} if another program wrote the column
 */
export function unpackPlaces(stored: StoredText | null): readonly Place[] {
  const json = stored === null ? "[]" : unpackText(stored, DICTIONARY);
  const places: unknown = JSON.parse(json ?? "");
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
  return [shared_events, shared_input].flatMap(
    (stored) => orNull(() => unpackPlaces(stored)) ?? [],
  );
}

/** The result of `read`, or null if it finds what another program wrote. */
export function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return null;
    throw error;
  }
}
