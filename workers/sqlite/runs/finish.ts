import type { EventLike } from "../../../src/events/event.ts";
import { takeOutOfText } from "../../../src/events/shared/take-out.ts";
import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { CompactOp, FinishOp, OpResult } from "../../../src/protocol/messages.ts";
import type { RunKey } from "../../../src/protocol/run-key.ts";
import { OK } from "../../../src/runs/answers.ts";
import { parseEvents } from "../database/parse-events.ts";
import { dropStart, endJournal } from "./journal.ts";
import { answerWithoutLease, freeThread, holdsLease } from "./lease.ts";
import { type CompactedEvents, compactEvents, readJournal } from "./read-journal.ts";
import { storeRun } from "./store-run.ts";
import type { WriterContext } from "./writer-context.ts";

export function finish(context: WriterContext, op: FinishOp): OpResult<"finish"> {
  // Free the thread first: that tells whether the run held it. If storing fails, the rollback undoes it.
  const { changes } = freeThread(context, op, op.finishedAt);
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
  const { segments, input, events } = readToEnd(context, op, segmentIds, tail);
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

/**
 * The journal and the `tail` of a run, compacted. Reads the part of the journal that was not read
 * ahead.
 */
function readToEnd(
  context: WriterContext,
  run: RunKey,
  segmentIds: readonly number[],
  tail: readonly EventLike[],
): { readonly segments: number; readonly input: string; readonly events: CompactedEvents } {
  const ahead = context.longRuns.take(run);
  if (ahead !== null) {
    ahead.read(Number.POSITIVE_INFINITY);
    ahead.add(tail);
    return { segments: ahead.segments, input: ahead.input ?? "{}", events: ahead.finish() };
  }
  const journal = readJournal(context.statements, segmentIds);
  const input = journal.input ?? "{}";
  const events = compactEvents([...journal.events, ...tail], input);
  return { segments: journal.segments, input, events };
}

/** Reads and compacts a piece of a long run before its finish comes: see `LongRuns`. */
export function compact(context: WriterContext, op: CompactOp): OpResult<"compact"> {
  if (holdsLease(context, op)) context.longRuns.readAhead(op, op.length);
  return OK;
}
