import type { EventLike } from "../../../src/events/event.ts";
import type { RunKey } from "../../../src/protocol/run-key.ts";
import {
  type EndedRun,
  endInterrupted,
  type InterruptedEnd,
} from "../../../src/runs/interrupted.ts";
import { concernsWholeFile } from "../database/fault.ts";
import { parseEvents } from "../database/parse-events.ts";
import { isLongJournal, LongRun } from "./long-runs.ts";
import {
  type CompactedEvents,
  compactEvents,
  type JournaledRun,
  readJournal,
} from "./read-journal.ts";
import type { WriterContext } from "./writer-context.ts";

/** The journal of a run that its agent did not end, ended and compacted. */
export interface InterruptedJournal extends EndedRun {
  /** JSON of the RunAgentInput. */
  readonly input: string;
  /** The seq of the last segment that was read. */
  readonly lastSeq: number;
  readonly compacted: CompactedEvents;
}

interface Request extends RunKey {
  readonly runId: string;
  /** The rows of the journal. */
  readonly segmentIds: readonly number[];
}

/** Null for a run without stored events: see `endInterrupted`. */
export function readInterrupted(
  context: WriterContext,
  run: Request,
  end: InterruptedEnd,
): InterruptedJournal | null {
  if (isLongJournal(context.statements, run.segmentIds)) {
    try {
      return readLong(context, run, end);
    } catch (error) {
      if (concernsWholeFile(error)) throw error;
      // Its compaction failed. Read whole, it is stored as it was emitted.
    }
  }
  return readWhole(context, run, end);
}

/** In pieces: the process may have died because such a run took too much memory. */
function readLong(
  { statements }: WriterContext,
  run: Request,
  end: InterruptedEnd,
): InterruptedJournal | null {
  const long = new LongRun(statements, run);
  const ended = endInterrupted({ ...run, events: long.events(run.segmentIds) }, end);
  if (ended === null) return null;
  long.add(ended.closing);
  const compacted = long.finish();
  return { ...ended, input: long.input ?? "{}", lastSeq: long.segments - 1, compacted };
}

function readWhole(
  { statements }: WriterContext,
  run: Request,
  end: InterruptedEnd,
): InterruptedJournal | null {
  const journal = readJournal(statements, run.segmentIds);
  const { events, input } = eventsAndInput(journal);
  const ended = endInterrupted({ ...run, events }, end);
  if (ended === null) return null;
  const compacted = compactEvents([...events, ...ended.closing], input);
  return { ...ended, input, lastSeq: journal.lastSeq, compacted };
}

/**
 * The events of an interrupted run, and its input. A run of which no event was journaled has the event that
 * begins it, if that was journaled.
 */
function eventsAndInput(journal: JournaledRun): {
  readonly events: readonly EventLike[];
  readonly input: string;
} {
  const { events, start } = journal;
  const [first] = events.length > 0 || start === null ? [] : (parseEvents(start) ?? []);
  if (first === undefined) return { events, input: journal.input ?? "{}" };
  return { events: [first], input: JSON.stringify(first.input ?? {}) };
}
