import type { EventLike } from "../../../src/events/event.ts";
import { sharedLength } from "../../../src/events/shared/places.ts";
import { PART_SLOT } from "../../../src/events/shared/take-out.ts";
import type { StoredRunFacts, ThreadFacts } from "../../../src/protocol/thread-messages.ts";
import type { RunSummary, TokenUsage } from "../../../src/protocol/threads.ts";
import * as facts from "../../../src/runs/thread-facts.ts";
import { parseEvents } from "../database/parse-events.ts";
import type { ValueReader } from "../values/read-values.ts";
import { placesJson, placesOf } from "../values/stored-places.ts";
import type { RunRow } from "./statements.ts";

/** Adds a row of `agent_runs` to the facts of its thread: see `addRun` of `src/runs`. */
export function addRow(
  before: ThreadFacts,
  row: RunRow,
  values: ValueReader,
): ReturnType<typeof facts.addRun> {
  return facts.addRun(before, storedRunOf(row), {
    events: eventsOf(row, values),
    tail: tailOf(row),
  });
}

/** A run as `ThreadStore.runs` lists it. */
export function summaryOfRow(row: RunRow): RunSummary {
  return facts.summaryOf(storedRunOf(row), facts.endOfTail(tailOf(row)));
}

/** What the agent of a run told of its usage. */
export function tokensOfRow(row: RunRow): TokenUsage | null {
  return facts.endOfTail(tailOf(row)).tokens;
}

function storedRunOf(row: RunRow): StoredRunFacts {
  const { run_id: runId, epoch, agent_id: agentId, created_at: endedAt } = row;
  const places = {
    shared_events: placesJson(row.shared_events),
    shared_input: placesJson(row.shared_input),
  };
  return { runId, epoch: epoch ?? 0, agentId, endedAt, bytes: row.bytes + sharedLength(places) };
}

/** The end of the JSON of the events. Null for a run whose events are read. */
function tailOf(row: RunRow): string | null {
  if (row.tail !== null) return Buffer.from(row.tail).toString();
  return hasParts(row) ? row.events : null;
}

/** Whether the row has only the beginning and the end of a long run. */
const hasParts = ({ shared_events }: RunRow) =>
  shared_events !== null &&
  placesOf({ shared_events, shared_input: null }).some(([slot]) => slot === PART_SLOT);

/** The events, with the messages of the last snapshot. Null for a run that is too long. */
function eventsOf(row: RunRow, values: ValueReader): EventLike[] | null {
  const { events, shared_events } = row;
  if (events === null || hasParts(row)) return null;
  const isRead = facts.slotsOfFacts(placesJson(shared_events));
  return parseEvents(values.eventsOf({ events, shared_events }, isRead)) ?? [];
}
