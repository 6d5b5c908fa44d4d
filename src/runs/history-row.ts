import type { EventLike } from "../events/event.ts";
import { chunksOf } from "../events/json/chunks.ts";
import { parseEvents } from "../events/json/parse-events.ts";
import { isTrimmed, mayBeTrimmed } from "../events/replay/trimmed.ts";
import { orNull, type StoredEventsRow } from "../events/shared/places.ts";
import type { ReadSpan } from "../events/shared/put-back.ts";
import { eachStoredEvent, UNREADABLE } from "../events/shared/stored-values.ts";
import type { CutRow } from "../protocol/compactor-messages.ts";
import { PAGE_LENGTH } from "./history-page.ts";

/** Whether the events of a run, none of which was taken out, are shown as they are, if they fit a page. */
export function isShownWhole(events: string, forReplay: boolean): boolean {
  return !(forReplay && mayBeTrimmed(events));
}

/**
 * The events of a stored run, put back, cut into pages of a history. `forReplay`: see
 * `PageRequest.forReplay`. Text that is no JSON array stays whole.
 */
export function cutRow(row: StoredEventsRow, forReplay: boolean, readSpan: ReadSpan): CutRow {
  if (row.shared_events === null) {
    const events = parseEvents(row.events);
    if (events === null) return { chunks: [row.events], trimmed: false };
    const kept = forReplay ? events.filter(({ type }) => !isTrimmed(type)) : events;
    const texts = kept.map((event) => JSON.stringify(event));
    return { chunks: chunksOf(texts, PAGE_LENGTH), trimmed: kept.length < events.length };
  }
  let isWhole = !HAS_TRIMMED_VALUES.test(row.shared_events);
  const kept = function* () {
    for (const text of eachStoredEvent(row, readSpan, forReplay ? isReplayed : undefined)) {
      if (forReplay && isTrimmedText(text)) isWhole = false;
      else yield text;
    }
  };
  const chunks = orNull(() => chunksOf(kept(), PAGE_LENGTH));
  if (chunks === null) return { chunks: [UNREADABLE], trimmed: false };
  return { chunks, trimmed: forReplay && !isWhole };
}

/** What is shared is snapshots and fields of a RUN_STARTED: a replay needs those that name messages. */
export const isReplayed = (slot: string) =>
  slot === "input.messages" || slot.startsWith("clientMessages.");

/** Whether the places of a row's values are those of snapshots, or of the state in an input. */
const HAS_TRIMMED_VALUES = /"(?:STATE_SNAPSHOT|MESSAGES_SNAPSHOT|input\.state)"/;

function isTrimmedText(json: string): boolean {
  return mayBeTrimmed(json) && isTrimmed((JSON.parse(json) as EventLike).type);
}
