import type { EventLike } from "../../../src/events/event.ts";
import { unpackPieces } from "../../../src/events/shared/pieces.ts";
import type { StoredRunFacts, ThreadFacts } from "../../../src/protocol/thread-messages.ts";
import type { RunSummary } from "../../../src/protocol/threads.ts";
import * as facts from "../../../src/runs/thread-facts.ts";
import { parseEvents } from "../database/parse-events.ts";
import type { ValueReader } from "../values/read-values.ts";
import { placesOf } from "../values/stored-places.ts";
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

function storedRunOf(row: RunRow): StoredRunFacts {
  const { run_id: runId, epoch, agent_id: agentId, created_at: endedAt } = row;
  return { runId, epoch: epoch ?? 0, agentId, endedAt, bytes: row.bytes + sharedLength(row) };
}

const tailOf = ({ tail }: RunRow) => (tail === null ? null : Buffer.from(tail).toString());

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
