import { endInterrupted, type InterruptedEnd, OWNER_DIED } from "../../../src/runs/interrupted.ts";
import { expectChange } from "../database/fault.ts";
import type { RunStateRow } from "../instances/statements.ts";
import { JournalScan } from "../state/journal-scan.ts";
import { deleteSegments, retainJournal } from "./journal.ts";
import { compactEvents, readJournal } from "./read-journal.ts";
import { storeRun } from "./store-run.ts";
import { epochOf } from "./stored-runs.ts";
import type { WriterContext } from "./writer-context.ts";

export interface RecoverOptions {
  /** Whether the journal is retained, for clients of any process that may be following the run. */
  readonly retain: boolean;
  /** The journals in the file. A caller that recovers several runs shares one scan. */
  readonly scan?: JournalScan;
  /** What the run ends with. Default `OWNER_DIED`, with the note of the configuration. */
  readonly end?: InterruptedEnd;
}

/**
 * Ends a run whose owner is gone: frees the thread, closes the journaled events with RUN_ERROR, and
 * stores them. Nothing is stored of a run without journaled events.
 */
export function recoverRun(
  context: WriterContext,
  state: RunStateRow,
  options: RecoverOptions,
): void {
  const { statements, journals, config } = context;
  const { retain, end = { ...OWNER_DIED, note: config.interruptedNote } } = options;
  const scan = options.scan ?? new JournalScan(statements);
  const { thread_id: threadId, current_run_id: runId } = state;
  const interrupted = { threadId, epoch: epochOf(state) };
  expectChange(
    statements.takeFromDeadOwner.run(Date.now(), threadId),
    "the end of an interrupted run",
  );
  if (runId === null) return;
  const segmentIds = scan.idsOf(interrupted);
  // The run may belong to this instance: its main thread has given the run up.
  journals.forget(interrupted);
  const journal = readJournal(statements, segmentIds);
  const ended = endInterrupted({ ...interrupted, runId, events: journal.events }, end);
  if (ended === null) {
    deleteSegments(context, segmentIds);
    forgetIfEmpty(context, threadId);
    return;
  }
  const { epoch, closing } = ended;
  const input = journal.input ?? "{}";
  const now = Date.now();
  // Files of earlier versions have threads without a row here until their first run is stored.
  const isKnown = statements.resourceOfThread.get(threadId) !== undefined;
  if (!isKnown) statements.insertThread.run(threadId, null, null, now, now);
  const run = { threadId, runId, epoch, agentId: null, input, finishedAt: now };
  storeRun(context, run, compactEvents([...journal.events, ...closing], input));
  const last = { ...interrupted, seq: journal.lastSeq + 1, events: JSON.stringify(closing) };
  if (retain) retainJournal(context, last, segmentIds);
  else deleteSegments(context, segmentIds);
}

/** Forgets a thread of which no run was stored. It then belongs to no resource. */
export function forgetIfEmpty({ statements, messages }: WriterContext, threadId: string): void {
  if (statements.deleteEmptyThread.run(threadId, threadId).changes > 0) messages.forget(threadId);
}
