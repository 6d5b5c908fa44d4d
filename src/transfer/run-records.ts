import type { EventLike } from "../events/event.ts";
import type { MovedPart, MovedRunHead } from "../store/thread-transfer.ts";
import type { RecordsChecksum } from "./checksum.ts";
import type { EventsRecord, RunRecord } from "./records.ts";

/** The record of a part of a run. */
export function recordOf(threadId: string, part: MovedPart): RunRecord | EventsRecord {
  const { run, isLast } = part;
  const events = parse(part.events);
  const areEvents = Array.isArray(events);
  const told = areEvents
    ? { events: events as readonly EventLike[] }
    : { events: [], eventsText: part.events };
  if (run === null) return { type: "events", threadId, ...told, isLast };
  const { input: json, ...head } = run;
  const input = parse(json);
  const given = input === undefined ? { input: null, inputText: json } : { input };
  return { type: "run", threadId, ...head, ...given, ...told, isLast };
}

/** What a record of a run gives a store. */
export interface RunTexts {
  /** With the first events of a run. */
  readonly head: MovedRunHead | null;
  /** One of the texts of `MovedRun.events`. */
  readonly events: string;
  readonly isLast: boolean;
}

/** The texts of a record, and its part of the checksum. */
export function textsOf(record: RunRecord | EventsRecord, checksum: RecordsChecksum): RunTexts {
  const { events: items, isLast } = record;
  const { eventsText } = record as Partial<RunRecord>;
  const events = eventsText ?? JSON.stringify(items);
  if (record.type === "events") {
    checksum.add({ ...record, events: [] }, events);
    return { head: null, events, isLast };
  }
  const { runId, epoch, agentId, endedAt } = record;
  const input = record.inputText ?? JSON.stringify(record.input);
  const { eventsText: _, inputText: __, ...rest } = record;
  checksum.add({ ...rest, events: [], input: null }, input, events);
  return { head: { runId, epoch, agentId, endedAt, input }, events, isLast };
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
