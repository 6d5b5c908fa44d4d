import { finalizeRun } from "../../../src/events/lifecycle/finalize.ts";
import { OpenParts } from "../../../src/events/lifecycle/open-parts.ts";
import type { RunStoreErrorCode } from "../../../src/protocol/errors.ts";
import { expectChange } from "../database/fault.ts";
import type { RunStateRow } from "../instances/statements.ts";
import { JournalScan } from "../state/journal-scan.ts";
import { deleteSegments, retainJournal } from "./journal.ts";
import { compactEvents, readJournal } from "./read-journal.ts";
import { storeRun } from "./store-run.ts";
import { epochOf } from "./stored-runs.ts";
import type { WriterContext } from "./writer-context.ts";

const INTERRUPTED = "The process that executed this run ended before the run did";

export interface RecoverOptions {
  /** Whether the journal is retained: someone, in this process or another, may be following the run. */
  readonly retain: boolean;
  /** The journals in the file. A caller that recovers several runs shares one scan. */
  readonly scan?: JournalScan;
  /** The code of the run's RUN_ERROR, `RUN_INTERRUPTED` by default. */
  readonly code?: RunStoreErrorCode;
  readonly message?: string;
}

/**
 * Ends a run whose owner is gone: frees the thread, closes what the journal holds with RUN_ERROR, and
 * stores it. A run without journaled events leaves nothing behind.
 */
export function recoverRun(
  context: WriterContext,
  state: RunStateRow,
  options: RecoverOptions,
): void {
  const { statements, journals } = context;
  const { retain, code = "RUN_INTERRUPTED", message = INTERRUPTED } = options;
  const scan = options.scan ?? new JournalScan(statements);
  const { thread_id: threadId, current_run_id: runId } = state;
  const interrupted = { threadId, epoch: epochOf(state) };
  expectChange(
    statements.takeFromDeadOwner.run(Date.now(), threadId),
    "the end of an interrupted run",
  );
  if (runId === null) return;
  const segmentIds = scan.idsOf(interrupted);
  // The run may be one of this instance, which its main thread gave up.
  journals.forget(interrupted);
  const journal = readJournal(statements, segmentIds);
  if (journal.events.length === 0) {
    deleteSegments(context, segmentIds);
    return;
  }
  const parts = new OpenParts();
  for (const event of journal.events) parts.observe(event);
  const closing = finalizeRun(parts, {
    threadId,
    runId,
    stopped: false,
    code,
    message,
  });
  const input = journal.input ?? "{}";
  const run = {
    threadId,
    runId,
    // Not the epoch of the owner, which may only have slept: its late writes must not find the run
    // stored, but be refused. The next claim gets a later epoch.
    epoch: interrupted.epoch + 1,
    agentId: null,
    input,
    finishedAt: Date.now(),
  };
  storeRun(context, run, compactEvents([...journal.events, ...closing], input));
  const end = { ...interrupted, seq: journal.lastSeq + 1, events: JSON.stringify(closing) };
  if (retain) retainJournal(context, end, segmentIds);
  else deleteSegments(context, segmentIds);
}
