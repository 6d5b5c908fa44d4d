import type { EventLike } from "../events/event.ts";
import { chunksOf } from "../events/json/chunks.ts";
import { parseEvents } from "../events/json/parse-events.ts";
import { isTrimmed, mayBeTrimmed } from "../events/replay/trimmed.ts";
import type { StoredEventsRow } from "../events/shared/places.ts";
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
  const texts = eachStoredEvent(row, readSpan, forReplay ? isReplayed : undefined);
  if (texts === null) return { chunks: [UNREADABLE], trimmed: false };
  const kept = forReplay ? texts.filter((text) => !isTrimmedText(text)) : texts;
  const isWhole = kept.length === texts.length && !HAS_TRIMMED_VALUES.test(row.shared_events);
  return { chunks: chunksOf(kept, PAGE_LENGTH), trimmed: forReplay && !isWhole };
}

/** What is shared is snapshots and fields of a RUN_STARTED: a replay needs those that name messages. */
export const isReplayed = (slot: string) =>
  slot === "input.messages" || slot.startsWith("clientMessages.");

/** Whether the places of a row's values are those of snapshots, or of the state in an input. */
const HAS_TRIMMED_VALUES = /"(?:STATE_SNAPSHOT|MESSAGES_SNAPSHOT|input\.state)"/;

function isTrimmedText(json: string): boolean {
  return mayBeTrimmed(json) && isTrimmed((JSON.parse(json) as EventLike).type);
}
