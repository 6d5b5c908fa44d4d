import type { AppendOp, OpResult } from "../../../src/protocol/messages.ts";
import type { RunKey } from "../../../src/protocol/run-key.ts";
import { OK } from "../../../src/runs/answers.ts";
import { hasOtherInstances } from "../instances/instances.ts";
import { answerWithoutLease, holdsLease } from "./lease.ts";
import { INPUT_SEQ } from "./read-journal.ts";
import type { WriterContext } from "./writer-context.ts";

export function append(context: WriterContext, op: AppendOp): OpResult<"append"> {
  if (!holdsLease(context, op)) return answerWithoutLease(context, op);
  if (op.input !== null) context.journals.append(op, INPUT_SEQ, op.input);
  context.journals.append(op, op.seq, op.events);
  return OK;
}

/** Deletes the START segment of a run that ends without any other segment in its journal. */
export function dropStart({ journals, config }: WriterContext, run: RunKey): void {
  if (config.offersInterrupted === true) journals.addDead(journals.take(run));
}

/** The last segment of a run, which came with its end and was not journaled. */
interface LastSegment extends RunKey {
  readonly seq: number;
  readonly events: string;
}

/**
 * Retains or deletes the journal of an ended run. Clients of another instance may be following the run.
 */
export function endJournal(
  context: WriterContext,
  last: LastSegment,
  segmentIds: readonly number[],
): void {
  if (hasOtherInstances(context)) retainJournal(context, last, segmentIds);
  else context.journals.addDead(segmentIds);
}

/** Retains the journal of an ended run, with its last segment: see `RetainedJournals`. */
export function retainJournal(
  { statements }: WriterContext,
  { threadId, epoch, seq, events }: LastSegment,
  segmentIds: readonly number[],
): void {
  const ids = [...segmentIds];
  if (events !== "[]") {
    // Whether the row was written is not checked: only followers need it, and the run is stored anyway.
    const inserted = statements.insertSegment.run(threadId, epoch, seq, events);
    if (inserted.changes > 0) ids.push(Number(inserted.lastInsertRowid));
  }
  statements.retainJournal.run(threadId, epoch, JSON.stringify(ids));
}

export function deleteSegments({ statements }: WriterContext, ids: readonly number[]): void {
  if (ids.length > 0) statements.deleteSegments.run(JSON.stringify(ids));
}
