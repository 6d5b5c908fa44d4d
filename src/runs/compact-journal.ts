import { RunCompactor } from "../events/compact/compact.ts";
import type { EventLike } from "../events/event.ts";
import { parseEvents } from "../events/json/parse-events.ts";
import { type MessageDigest, MessageDigests } from "../events/message-digests.ts";
import { type LargeEvent, MIN_SHARED_LENGTH, mayRepeat } from "../events/shared/repeating.ts";
import type { CompactedRun } from "../protocol/compactor-messages.ts";
import { stateOfInput, toStoredRun } from "./stored-run.ts";

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
  return serialized(events, messages);
}

/** Compacts a journal piece by piece. */
export class JournalCompactor {
  readonly #compactor: RunCompactor;
  readonly #messages = new MessageDigests();
  /** How many segments were added. */
  segments = 0;

  /** `input` is the JSON of the RunAgentInput, or null when it was not journaled. */
  constructor(input: string | null) {
    this.#compactor = new RunCompactor(stateOfInput(input));
  }

  /** An error that a getter of an event throws is thrown on. */
  add(segments: readonly string[]): void {
    this.segments += segments.length;
    for (const event of eventsOf(segments)) {
      this.#compactor.add(event);
      this.#messages.observe(event);
    }
  }

  finish(): CompactedRun {
    return serialized(this.#compactor.finish(), this.#messages.entries());
  }
}

function serialized(
  events: readonly EventLike[],
  messages: readonly MessageDigest[],
): CompactedRun {
  const texts = events.map((event) => JSON.stringify(event));
  const large: LargeEvent[] = [];
  // After the opening bracket.
  let at = 1;
  for (const [index, { type }] of events.entries()) {
    const { length } = texts[index] ?? "";
    if (length >= MIN_SHARED_LENGTH && mayRepeat(type)) large.push({ type, index, at, length });
    at += length + 1;
  }
  return { events: `[${texts.join(",")}]`, large, messages };
}

/** The events of a journal. They end before the first segment that is no JSON array. */
export function eventsOf(segments: readonly string[]): readonly EventLike[] {
  const events: EventLike[] = [];
  for (const segment of segments) {
    const parsed = parseEvents(segment);
    if (parsed === null) break;
    for (const event of parsed) events.push(event);
  }
  return events;
}
