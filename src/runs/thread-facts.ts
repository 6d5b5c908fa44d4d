import type { EventLike } from "../events/event.ts";
import { parseEvents } from "../events/json/parse-events.ts";
import { endOf, factsOf, type RunEnd } from "../events/run-facts.ts";
import { placesOf, type StoredEventsRow } from "../events/shared/places.ts";
import type { ReadSpan } from "../events/shared/put-back.ts";
import { readStoredEvents } from "../events/shared/stored-values.ts";
import type { StoredRunFacts, ThreadFacts } from "../protocol/thread-messages.ts";
import type { RunSummary, TokenUsage } from "../protocol/threads.ts";

export const NO_FACTS: ThreadFacts = {
  title: null,
  runs: 0,
  messages: 0,
  bytes: 0,
  tokens: null,
  lastRun: null,
};

/** The facts of a row of `thread_facts`. */
export function parseFacts(json: string | null): ThreadFacts {
  try {
    return json === null ? NO_FACTS : (JSON.parse(json) as ThreadFacts);
  } catch {
    // Another program has written it.
    return NO_FACTS;
  }
}

/** What was read of the events of a run. */
export interface ReadRun {
  /** Null for a run that is too long: it is counted, and its texts are not read. */
  readonly events: readonly EventLike[] | null;
  /** The end of the JSON of the events, where `events` is null. */
  readonly tail: string | null;
}

/**
 * The slots of the values of a run that facts are made from: the messages in its input, and those of its last
 * snapshot. The result is for one pass over the places of the run.
 */
export function slotsOfFacts(sharedEvents: string | null): (slot: string) => boolean {
  const places = placesOf({ shared_events: sharedEvents, shared_input: null });
  let left = places.filter(([slot]) => slot === "MESSAGES_SNAPSHOT").length;
  return (slot) => {
    if (slot === "input.messages") return true;
    return slot === "MESSAGES_SNAPSHOT" && --left === 0;
  };
}

/** The events of a stored run, with the values that facts are made from. */
export function eventsOfFacts(row: StoredEventsRow, readSpan: ReadSpan): readonly EventLike[] {
  return parseEvents(readStoredEvents(row, readSpan, slotsOfFacts(row.shared_events))) ?? [];
}

/** UTF-16 units that a default title has at most. */
const MAX_TITLE = 100;

/** Adds a run to the facts of its thread. Also gives the texts of its messages. */
export function addRun(
  facts: ThreadFacts,
  stored: StoredRunFacts,
  { events, tail }: ReadRun,
): { readonly facts: ThreadFacts; readonly texts: readonly string[] } {
  const run =
    events === null
      ? { ...endOfTail(tail), userText: null, texts: [], messages: facts.messages }
      : factsOf(events, facts.messages);
  const lastRun = summaryOf(stored, run);
  const { tokens, userText, texts, messages } = run;
  const added = {
    title: facts.title ?? (userText === null ? null : titleOf(userText)),
    runs: facts.runs + 1,
    messages,
    bytes: facts.bytes + lastRun.bytes,
    tokens: sum(facts.tokens, tokens),
    lastRun,
  };
  return { facts: added, texts };
}

/** A run as `ThreadStore.runs` lists it. */
export function summaryOf(stored: StoredRunFacts, { outcome, errorCode }: RunEnd): RunSummary {
  const { runId, epoch, agentId, endedAt, bytes } = stored;
  return { runId, epoch, agentId, outcome, errorCode, endedAt, bytes };
}

/** How a run ended, as the end of the JSON of its events tells. */
export function endOfTail(tail: string | null): RunEnd {
  return endOf(tail === null ? undefined : lastEventOf(tail));
}

/** What may stand in front of an event in a JSON array. Undefined: the beginning of the tail. */
const BEFORE_EVENT: ReadonlySet<string | undefined> = new Set([..."[, \n\r\t", undefined]);

/** The last event of a JSON array that ends with `tail`. Undefined if it is not whole, and no object. */
export function lastEventOf(tail: string): EventLike | undefined {
  const end = tail.lastIndexOf("]");
  let at = end;
  // A brace within the event, or within a text, begins no JSON that ends where the event ends.
  while (at > 0) {
    at = tail.lastIndexOf("{", at - 1);
    if (at < 0 || !BEFORE_EVENT.has(tail[at - 1])) continue;
    try {
      return JSON.parse(tail.slice(at, end)) as EventLike;
    } catch {
      // The event begins further in front.
    }
  }
  return undefined;
}

function sum(one: TokenUsage | null, other: TokenUsage | null): TokenUsage | null {
  if (one === null || other === null) return one ?? other;
  return { input: one.input + other.input, output: one.output + other.output };
}

/** The beginning of a text, in one line. Ends with a whole word where that leaves half of it. */
export function titleOf(text: string): string | null {
  const line = text
    .slice(0, 8 * MAX_TITLE)
    .replace(/\s+/gu, " ")
    .trim()
    .toWellFormed();
  if (line.length <= MAX_TITLE) return line === "" ? null : line;
  const cut = line.slice(0, MAX_TITLE - 1);
  const blank = cut.lastIndexOf(" ");
  const whole = blank > MAX_TITLE / 2 ? cut.slice(0, blank) : cut.replace(/[\ud800-\udbff]$/, "");
  return `${whole}…`;
}
