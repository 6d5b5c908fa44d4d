import type { EventLike } from "../../../src/events/event.ts";
import { takeOutOfText } from "../../../src/events/shared/take-out.ts";
import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { CompactOp, FinishOp, OpResult } from "../../../src/protocol/messages.ts";
import type { RunKey } from "../../../src/protocol/run-key.ts";
import { OK } from "../../../src/runs/answers.ts";
import { concernsWholeFile } from "../database/fault.ts";
import { parseEvents } from "../database/parse-events.ts";
import { dropStart, endJournal } from "./journal.ts";
import { answerWithoutLease, freeThread, holdsLease } from "./lease.ts";
import { isLongJournal, LongRun } from "./long-runs.ts";
import {
  type CompactedEvents,
  compactEvents,
  MAX_JOURNAL_LENGTH,
  readJournal,
} from "./read-journal.ts";
import { storeRun } from "./store-run.ts";
import type { WriterContext } from "./writer-context.ts";

export function finish(context: WriterContext, op: FinishOp): OpResult<"finish"> {
  // Free the thread first: that tells whether the run held it. If storing fails, the rollback undoes it.
  const { changes } = freeThread(context, op, op.finishedAt);
  const ahead = context.longRuns.take(op);
  if (changes === 0) return answerWithoutLease(context, op);
  if (op.segments === 0) dropStart(context, op);
  if (op.compactMessages !== null) {
    const run = { ...op, input: op.input ?? "{}" };
    const taken = takeOutOfText(op.events, op.large);
    storeRun(context, run, { taken, messages: op.compactMessages });
    return OK;
  }
  const tail = parseEvents(op.events) ?? [];
  if (op.segments === 0) {
    const input = op.input ?? "{}";
    storeRun(context, { ...op, input }, compactEvents(tail, input));
    return OK;
  }
  const segmentIds = context.journals.take(op);
  const { segments, input, events } = readToEnd(context, op, ahead, segmentIds, tail);
  if (segments < op.segments) {
    // A run with a hole is not stored: the main thread gives the run up, and its events before the hole
    // are kept.
    const missing = op.segments - segments;
    throw new RunStoreError(
      "STORE_FAILED",
      `the journal of the run lacks its last ${missing} segments`,
    );
  }
  storeRun(context, { ...op, input }, events);
  endJournal(context, op, segmentIds);
  return OK;
}

const TOO_LONG = `the run could not be compacted, and takes more than ${MAX_JOURNAL_LENGTH / 1024 ** 2} MiB of JSON: only its beginning is stored`;

interface WholeRun {
  readonly segments: number;
  readonly input: string;
  readonly events: CompactedEvents;
}

/**
 * The journal and the `tail` of a run, compacted. Reads the part of the journal that was not read
 * ahead. If that fails, or what was read ahead is gone, the operation is tried again, without it.
 */
function readToEnd(
  context: WriterContext,
  run: RunKey,
  ahead: LongRun | null,
  segmentIds: readonly number[],
  tail: readonly EventLike[],
): WholeRun {
  if (ahead !== null) return readLong(ahead, segmentIds, tail);
  if (isLongJournal(context.statements, segmentIds)) {
    try {
      return readLong(new LongRun(context.statements, run), segmentIds, tail);
    } catch (error) {
      if (concernsWholeFile(error)) throw error;
      // Its compaction failed. Read whole, it is stored as it was emitted.
    }
  }
  const journal = readJournal(context.statements, segmentIds);
  if (journal.isTooLong) throw new RunStoreError("STORE_FAILED", TOO_LONG);
  const input = journal.input ?? "{}";
  const events = compactEvents([...journal.events, ...tail], input);
  return { segments: journal.segments, input, events };
}

function readLong(
  run: LongRun,
  segmentIds: readonly number[],
  tail: readonly EventLike[],
): WholeRun {
  run.read(segmentIds, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  run.add(tail);
  const events = run.finish();
  return { segments: run.segments, input: run.input ?? "{}", events };
}

/** What one operation reads at most of a run that has to be read again, in lengths of the operation. */
const MAX_CATCH_UP = 2;

/** Reads and compacts a piece of a long run before its finish comes: see `LongRuns`. */
export function compact(context: WriterContext, op: CompactOp): OpResult<"compact"> {
  if (!holdsLease(context, op)) context.longRuns.take(op);
  else context.longRuns.readAhead(op, op.segments, MAX_CATCH_UP * op.length);
  return OK;
}
