import type { EventLike } from "../../../src/events/event.ts";
import type { MessageDigest } from "../../../src/events/message-digests.ts";
import { type TakenOut, takeOutOfEvents } from "../../../src/events/shared/take-out.ts";
import { messageOf } from "../../../src/protocol/errors.ts";
import { START_SEQ } from "../../../src/protocol/messages.ts";
import { toStoredRun } from "../../../src/runs/stored-run.ts";
import { parseEvents } from "../database/parse-events.ts";
import type { JournalStatements } from "../state/statements.ts";

/** The seq of the run's input in its journal. Events have seqs from 0. */
export const INPUT_SEQ = -1;

export interface JournaledRun {
  /** JSON of the event that begins the run if no other event was journaled, or null: see `START_SEQ`. */
  readonly start: string | null;
  readonly events: readonly EventLike[];
  /** JSON of the RunAgentInput, or null when it was not journaled. */
  readonly input: string | null;
  /** How many segments `events` come from. */
  readonly segments: number;
  /** The seq of the last of these segments. */
  readonly lastSeq: number;
  /** UTF-16 units of JSON that `events` come from. */
  readonly length: number;
  /** Whether they end before a segment that makes the run too long to be read whole. */
  readonly isTooLong: boolean;
}

/**
 * UTF-16 units of JSON that a run has at most that is read whole: it is stored as one string. V8 allows twice
 * this length, and SQLite a billion bytes. A run that is compacted in pieces is stored in parts, of any length.
 */
export const MAX_JOURNAL_LENGTH = 256 * 1024 * 1024;

/**
 * The journaled events of a run, in order. They end before the first segment that is missing, that
 * cannot be read, or that would make the run too long. `before` is how many segments of the run were read
 * earlier.
 */
export function readJournal(
  statements: Pick<JournalStatements, "segments">,
  segmentIds: readonly number[],
  before = 0,
): JournaledRun {
  const events: EventLike[] = [];
  let start: string | null = null;
  let input: string | null = null;
  let segments = 0;
  let lastSeq = INPUT_SEQ;
  let length = 0;
  let isTooLong = false;
  for (const row of statements.segments.iterate(JSON.stringify(segmentIds))) {
    if (row.seq === START_SEQ) {
      start = row.events;
      continue;
    }
    if (row.seq === INPUT_SEQ) {
      input = row.events;
      continue;
    }
    if (row.seq !== before + segments) break;
    length += row.events.length;
    isTooLong = length > MAX_JOURNAL_LENGTH;
    const segment = isTooLong ? null : parseEvents(row.events);
    if (segment === null) break;
    for (const event of segment) events.push(event);
    segments++;
    lastSeq = row.seq;
  }
  return { start, events, input, segments, lastSeq, length, isTooLong };
}

/** The events of a run as they are stored, without the values that other runs have too, and the messages in them. */
export interface CompactedEvents {
  readonly taken: TakenOut;
  readonly messages: readonly MessageDigest[];
}

/** A warning of the process, not a fault: the run is stored whole, only less compact. */
function warnOfFailure(error: unknown): void {
  process.emitWarning(
    `A run is stored as it was emitted, because compacting it failed: ${messageOf(error)}`,
  );
}

export function compactEvents(events: readonly EventLike[], input: string): CompactedEvents {
  const stored = toStoredRun(events, input, warnOfFailure);
  return { taken: takeOutOfEvents(stored.events), messages: stored.messages };
}
