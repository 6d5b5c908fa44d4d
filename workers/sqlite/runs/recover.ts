import { finalizeRun } from "../../../src/events/finalize.ts";
import { OpenParts } from "../../../src/events/open-parts.ts";
import type { RunStoreErrorCode, StoreFault } from "../../../src/protocol/errors.ts";
import { concernsWholeFile, expectChange, toFault } from "../database/fault.ts";
import { beat } from "../instances/instances.ts";
import { hasLiveOwner } from "../instances/ownership.ts";
import type { RunStateRow } from "../instances/statements.ts";
import { JournalScan } from "../state/journal-scan.ts";
import { storeRun } from "./finish.ts";
import { deleteSegments, keepJournal } from "./journal.ts";
import { compactEvents, readJournal } from "./read-journal.ts";
import { epochOf } from "./stored-runs.ts";
import { forgetUncommitted, type WriterContext } from "./writer-context.ts";

const INTERRUPTED = "The process that executed this run ended before the run did";

export interface RecoverOptions {
  /** Whether someone may be following the run, in this process too, and is to see its end. */
  readonly keep: boolean;
  /** Whoever recovers several runs looks through the journals once. */
  readonly scan?: JournalScan;
  /** What the run ends with, if not with `RUN_INTERRUPTED`. */
  readonly code?: RunStoreErrorCode;
  readonly message?: string;
}

/**
 * Ends a run whose owner is gone: what its journal holds is finalized with RUN_ERROR, stored, and
 * the thread is free. A run that journaled nothing leaves nothing behind.
 */
export function recoverRun(
  context: WriterContext,
  state: RunStateRow,
  options: RecoverOptions,
): void {
  const { statements, journals } = context;
  const { keep, code = "RUN_INTERRUPTED", message = INTERRUPTED } = options;
  const scan = options.scan ?? new JournalScan(statements);
  const { thread_id: threadId, current_run_id: runId } = state;
  const interrupted = { threadId, epoch: epochOf(state) };
  expectChange(
    statements.takeFromDeadOwner.run(Date.now(), threadId),
    "the end of an interrupted run",
  );
  if (runId === null) return;
  const segmentIds = scan.idsOf(interrupted);
  // It may be one of this instance that its main thread gave up.
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
    // Not its owner's, who may only have slept: its late writes do not find themselves stored, and
    // are refused. The next claim has a later one.
    epoch: interrupted.epoch + 1,
    agentId: null,
    input,
    finishedAt: Date.now(),
  };
  storeRun(context, run, compactEvents([...journal.events, ...closing], input));
  const end = { ...interrupted, seq: journal.lastSeq + 1, events: JSON.stringify(closing) };
  if (keep) keepJournal(context, end, segmentIds);
  else deleteSegments(context, segmentIds);
}

/** What became of the runs of dead owners. */
export interface Recovered {
  /** Runs that were ended. */
  readonly runs: number;
  /** Why the last of those that could not be ended was not, or null. It holds its thread still. */
  readonly fault: StoreFault | null;
}

/** Ends every run whose owner is dead. One that cannot be ended does not stand in the others' way. */
export function recoverDeadRuns(
  context: WriterContext,
  { keep }: Pick<RecoverOptions, "keep">,
): Recovered {
  const { statements, config } = context;
  const isDead = (state: RunStateRow | undefined): state is RunStateRow =>
    state?.is_running === 1 && !hasLiveOwner(context, state);
  const options = { keep, scan: new JournalScan(statements) };
  let runs = 0;
  let fault: StoreFault | null = null;
  // Each in a transaction of its own: a process with thousands of dead runs to end must not keep
  // the others from writing meanwhile.
  let beatenAt = performance.now();
  for (const found of statements.runsOfOthers.all(config.instanceId)) {
    // Others can write between two transactions, and would judge this instance by its heart.
    if (performance.now() - beatenAt > config.leaseMs / 3) {
      beat(context);
      beatenAt = performance.now();
    }
    // Asked before the transaction, too: runs that live are not to cost a lock.
    if (!isDead(found)) continue;
    const recover = context.db.transaction(() => {
      const state = statements.stateOfThread.get(found.thread_id);
      if (state?.owner_id === config.instanceId || !isDead(state)) return;
      recoverRun(context, state, options);
      runs++;
    });
    try {
      recover.immediate();
    } catch (error) {
      forgetUncommitted(context);
      if (concernsWholeFile(error)) throw error;
      fault = toFault(error);
    }
  }
  return { runs, fault };
}
