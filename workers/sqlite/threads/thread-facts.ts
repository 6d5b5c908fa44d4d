import type { EventLike } from "../../../src/events/event.ts";
import { endOf, factsOf, type RunEnd } from "../../../src/events/run-facts.ts";
import { unpackPieces } from "../../../src/events/shared/pieces.ts";
import type { RunSummary, TokenUsage } from "../../../src/protocol/threads.ts";
import { parseEvents } from "../database/parse-events.ts";
import type { ValueReader } from "../values/read-values.ts";
import { placesOf } from "../values/stored-places.ts";
import type { RunRow } from "./statements.ts";

/** What is derived from the runs of a thread. */
export interface ThreadFacts {
  /** The default title. */
  readonly title: string | null;
  readonly runs: number;
  readonly messages: number;
  readonly bytes: number;
  readonly tokens: TokenUsage | null;
  readonly lastRun: RunSummary | null;
}

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

/** UTF-16 units that a default title has at most. */
const MAX_TITLE = 100;

/** Adds a run to the facts of its thread. Also gives the texts of its messages. */
export function addRun(
  facts: ThreadFacts,
  row: RunRow,
  values: ValueReader,
): { readonly facts: ThreadFacts; readonly texts: readonly string[] } {
  const events = eventsOf(row, values);
  // A run that is too long is counted, and its texts are not read.
  const run =
    events === null
      ? { ...endOfRow(row), userText: null, texts: [], messages: facts.messages }
      : factsOf(events, facts.messages);
  const lastRun = summaryOf(row, run);
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
export function summaryOf(row: RunRow, end: RunEnd = endOfRow(row)): RunSummary {
  const { run_id: runId, epoch, agent_id: agentId, created_at: endedAt } = row;
  const { outcome, errorCode } = end;
  const bytes = row.bytes + sharedLength(row);
  return { runId, epoch: epoch ?? 0, agentId, outcome, errorCode, endedAt, bytes };
}

function endOfRow({ tail }: RunRow): RunEnd {
  return endOf(tail === null ? undefined : lastEventOf(Buffer.from(tail).toString()));
}

/** What may stand in front of an event in a JSON array. Undefined: the beginning of the tail. */
const BEFORE_EVENT: ReadonlySet<string | undefined> = new Set([..."[, \n\r\t", undefined]);

/** The last event of a JSON array that ends with `tail`. Undefined if it is not whole, and no object. */
function lastEventOf(tail: string): EventLike | undefined {
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

/** The events, with the messages of the last snapshot. Null for a run that is too long. */
function eventsOf(row: RunRow, values: ValueReader): EventLike[] | null {
  const { events, shared_events } = row;
  if (events === null) return null;
  const snapshots = placesOf({ shared_events, shared_input: null }).filter(
    ([slot]) => slot === "MESSAGES_SNAPSHOT",
  );
  const last = snapshots.at(-1);
  let snapshot = 0;
  const isRead = (slot: string) => {
    if (slot === "input.messages") return true;
    return slot === "MESSAGES_SNAPSHOT" && ++snapshot === snapshots.length && last !== undefined;
  };
  return parseEvents(values.eventsOf({ events, shared_events }, isRead)) ?? [];
}

/** UTF-16 units of the values that were taken out of a run. */
function sharedLength({ shared_events, shared_input }: RunRow): number {
  let length = 0;
  for (const [, , packed] of placesOf({ shared_events, shared_input })) {
    for (const piece of unpackPieces(packed)) length += piece.length;
  }
  return length;
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
