import type { AppendOp, OpResult } from "../../../src/protocol/messages.ts";
import type { RunKey } from "../../../src/protocol/run-key.ts";
import { hasOtherInstances } from "../instances/instances.ts";
import { answerWithoutLease, holdsLease, OK } from "./lease.ts";
import { INPUT_SEQ } from "./read-journal.ts";
import type { WriterContext } from "./writer-context.ts";

export function append(context: WriterContext, op: AppendOp): OpResult<"append"> {
  if (!holdsLease(context, op)) return answerWithoutLease(context, op);
  if (op.input !== null) context.journals.append(op, INPUT_SEQ, op.input);
  context.journals.append(op, op.seq, op.events);
  return OK;
}

/** The segment with which a run ended. It was not journaled. */
interface LastSegment extends RunKey {
  readonly seq: number;
  readonly events: string;
}

/** Deals with the journal of a run that has ended: clients of another instance may be following it. */
export function endJournal(
  context: WriterContext,
  last: LastSegment,
  segmentIds: readonly number[],
): void {
  if (hasOtherInstances(context)) retainJournal(context, last, segmentIds);
  else context.journals.bury(segmentIds);
}

/** Retains the journal of a run that has ended, with its last segment: `RetainedJournals`. */
export function retainJournal(
  { statements }: WriterContext,
  { threadId, epoch, seq, events }: LastSegment,
  segmentIds: readonly number[],
): void {
  const ids = [...segmentIds];
  if (events !== "[]") {
    // No check that the row was written: only followers need it, and the run is stored without it.
    const inserted = statements.insertSegment.run(threadId, epoch, seq, events);
    if (inserted.changes > 0) ids.push(Number(inserted.lastInsertRowid));
  }
  statements.retainJournal.run(threadId, epoch, JSON.stringify(ids));
}

export function deleteSegments({ statements }: WriterContext, ids: readonly number[]): void {
  if (ids.length > 0) statements.deleteSegments.run(JSON.stringify(ids));
}
