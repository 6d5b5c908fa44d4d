import { type InterruptedEnd, OWNER_DIED } from "../../../src/runs/interrupted.ts";
import { expectChange } from "../database/fault.ts";
import type { RunStateRow } from "../instances/statements.ts";
import { JournalScan } from "../state/journal-scan.ts";
import { readInterrupted } from "./interrupted-journal.ts";
import { deleteSegments, retainJournal } from "./journal.ts";
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
  const { statements, journals, longRuns, touches, config } = context;
  const { retain, end = { ...OWNER_DIED, note: config.interruptedNote } } = options;
  const isCrash = options.end === undefined;
  const scan = options.scan ?? new JournalScan(statements);
  const { thread_id: threadId, current_run_id: runId } = state;
  const interrupted = { threadId, epoch: epochOf(state) };
  const now = Date.now();
  expectChange(statements.takeFromDeadOwner.run(now, threadId), "the end of an interrupted run");
  touches.note(threadId, now, null);
  if (runId === null) return;
  const segmentIds = scan.idsOf(interrupted);
  // The run may belong to this instance: its main thread has given the run up.
  journals.forget(interrupted);
  longRuns.take(interrupted);
  const ended = readInterrupted(context, { ...interrupted, runId, segmentIds }, end);
  if (ended === null) {
    deleteSegments(context, segmentIds);
    offerRerun(context, state, { isCrash, row: null });
    forgetIfEmpty(context, threadId);
    return;
  }
  const { epoch, closing, input, compacted, lastSeq } = ended;
  const run = { threadId, runId, epoch, agentId: state.agent_id, input, finishedAt: now };
  const row = storeRun(context, run, compacted);
  offerRerun(context, state, { isCrash, row });
  const last = { ...interrupted, seq: lastSeq + 1, events: JSON.stringify(closing) };
  if (retain) retainJournal(context, last, segmentIds);
  else deleteSegments(context, segmentIds);
}

/**
 * Notes whether the interrupted run is offered for a rerun: if a crash ended it, nobody had asked it to
 * stop, and its instance wants that. `row` is what was stored of it. The input of a rerun is that of the
 * first run, whatever was stored of the reruns.
 */
function offerRerun(
  { statements }: WriterContext,
  state: RunStateRow,
  { isCrash, row }: { readonly isCrash: boolean; readonly row: number | null },
): void {
  const { thread_id: threadId, interrupted_row: first, interrupted_start: firstStart } = state;
  const isOffered = isCrash && state.attempt !== null && state.stop_requested === null;
  const offered = isOffered ? (first ?? row) : null;
  if (offered === null && first === null) return;
  const start = first === null ? state.updated_at : (firstStart ?? state.updated_at);
  const noted = statements.setInterrupted.run(offered, start, threadId);
  expectChange(noted, "the rerun of an interrupted run");
}

/** Forgets a thread of which no run was stored. It then belongs to no resource. */
export function forgetIfEmpty({ statements, messages }: WriterContext, threadId: string): void {
  if (statements.deleteEmptyThread.run(threadId, threadId).changes > 0) messages.forget(threadId);
}
