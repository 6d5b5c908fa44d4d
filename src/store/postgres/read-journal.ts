import { START_SEQ } from "../../protocol/messages.ts";
import type { RunKey } from "../../protocol/run-key.ts";
import { eventsOf, type Journal } from "../../runs/compact-journal.ts";
import type { Send } from "./connection.ts";
import type { Statements } from "./statements.ts";
import { toStored } from "./stored-ids.ts";

/** The seq of a run's input in its journal. */
export const INPUT_SEQ = -1;

/** UTF-16 units of JSON that a stored run has at most: V8 allows twice this length, PostgreSQL 1 GB. */
export const MAX_JOURNAL_LENGTH = 256 * 1024 * 1024;

export interface JournalRange {
  /** The first segment to read. */
  readonly from?: number;
  /** The number of segments of the whole journal, where that is known. */
  readonly length?: number;
}

export interface ReadJournal extends Journal {
  /** JSON array with the event that begins the run, if that was journaled: see `START_SEQ`. */
  readonly start: string | null;
}

/**
 * The journal of a run, with the segments that the transaction adds to it, up to the first segment that is
 * missing or that would make the run too long.
 */
export async function readJournal(
  send: Send,
  statements: Pick<Statements, "journal">,
  { threadId, epoch }: RunKey,
  added: ReadonlyMap<number, string>,
  { from = 0, length = Number.POSITIVE_INFINITY }: JournalRange = {},
): Promise<ReadJournal> {
  if (length === 0) return { input: null, segments: [], start: null };
  const { rows } = await send(statements.journal, [toStored(threadId), epoch, from]);
  const bySeq = new Map<number, string>(rows.map(({ seq, events }) => [seq, events]));
  for (const [seq, events] of added) if (!bySeq.has(seq)) bySeq.set(seq, events);
  const segments: string[] = [];
  let units = 0;
  while (from + segments.length < length) {
    const events = bySeq.get(from + segments.length);
    units += events?.length ?? 0;
    if (events === undefined || units > MAX_JOURNAL_LENGTH) break;
    segments.push(events);
  }
  return { input: bySeq.get(INPUT_SEQ) ?? null, segments, start: bySeq.get(START_SEQ) ?? null };
}

/** What is known of a run that a crash ended. One without journaled events has the event that begins it. */
export function crashedJournal({ input, segments, start }: ReadJournal): Journal {
  if (segments.length > 0 || start === null) return { input, segments };
  const [first] = eventsOf([start]);
  return { input: JSON.stringify(first?.input ?? {}), segments: [start] };
}
