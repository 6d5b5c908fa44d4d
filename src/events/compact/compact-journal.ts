import { type EventLike } from "../event.ts";
import { digestsOf, type MessageDigest } from "../message-digests.ts";
import { compactRun } from "./compact.ts";

/** A run as it was journaled. */
export interface Journal {
  /** JSON of the RunAgentInput, or null when it was not journaled. */
  readonly input: string | null;
  /** JSON arrays of events, in order. */
  readonly segments: readonly string[];
}

export interface CompactedRun {
  /** JSON array of events. */
  readonly events: string;
  readonly messages: readonly MessageDigest[];
}

/** Compacts a journaled run. A segment that is no JSON array ends it. */
export function compactJournal({ input, segments }: Journal): CompactedRun {
  const events = eventsOf(segments);
  const hasDelta = events.some(({ type }) => type === "STATE_DELTA");
  const compacted = compactRun(events, hasDelta ? { state: stateOfInput(input ?? "{}") } : {});
  return { events: JSON.stringify(compacted), messages: [...digestsOf(events)] };
}

export function eventsOf(segments: readonly string[]): readonly EventLike[] {
  const events: EventLike[] = [];
  for (const segment of segments) {
    const parsed = parseArray(segment);
    if (parsed === null) break;
    for (const event of parsed) events.push(event);
  }
  return events;
}

function parseArray(json: string): readonly EventLike[] | null {
  try {
    const value: unknown = JSON.parse(json);
    return Array.isArray(value) ? (value as EventLike[]) : null;
  } catch {
    return null;
  }
}

function stateOfInput(input: string): unknown {
  try {
    const value = JSON.parse(input) as { state?: unknown } | null;
    return value?.state;
  } catch {
    return undefined;
  }
}
