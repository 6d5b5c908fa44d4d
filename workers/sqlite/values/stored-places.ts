import * as places from "../../../src/events/shared/places.ts";
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
export function packPlaces(taken: readonly Place[]): StoredText | null {
  return taken.length === 0 ? null : packText(JSON.stringify(taken), DICTIONARY);
}

/** The JSON of places that are stored in a column. No JSON where another program wrote the column. */
export function placesJson(stored: StoredText | null): string | null {
  return stored === null ? null : (unpackText(stored, DICTIONARY) ?? "");
}

/** The places of a run in which values were stored, in that order. None where somebody else has written them. */
export function placesOf({ shared_events, shared_input }: PlacesRow): readonly Place[] {
  return places.placesOf({
    shared_events: placesJson(shared_events),
    shared_input: placesJson(shared_input),
  });
}
