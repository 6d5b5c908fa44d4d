import type { EventLike } from "../events/event.ts";
import { chunksOf } from "../events/json/chunks.ts";
import type { CompactedRun } from "../protocol/compactor-messages.ts";
import { PAGE_LENGTH } from "./history-page.ts";
import { toStoredRun } from "./stored-run.ts";

/** A run as it was journaled. */
export interface Journal {
  /** JSON of the RunAgentInput, or null when it was not journaled. */
  readonly input: string | null;
  /** JSON arrays of events, in order. */
  readonly segments: readonly string[];
}

/** What is stored of a journaled run. */
export function compactJournal({ input, segments }: Journal): CompactedRun {
  const { events, messages } = toStoredRun(eventsOf(segments), input);
  return { events: JSON.stringify(events), messages };
}

/** The events of a journal. They end before the first segment that is no JSON array. */
export function eventsOf(segments: readonly string[]): readonly EventLike[] {
  const events: EventLike[] = [];
  for (const segment of segments) {
    const parsed = parseArray(segment);
    if (parsed === null) break;
    for (const event of parsed) events.push(event as EventLike);
  }
  return events;
}

/** Cuts the events of a long run, as `HistoryRow.chunks` has them. Text that is no JSON array stays whole. */
export function cutRun(events: string): readonly string[] {
  const parsed = events.length <= PAGE_LENGTH ? null : parseArray(events);
  if (parsed === null) return [events];
  return chunksOf(
    parsed.map((event) => JSON.stringify(event)),
    PAGE_LENGTH,
  );
}

function parseArray(json: string): readonly unknown[] | null {
  try {
    const value: unknown = JSON.parse(json);
    return Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
