import { finalizeRun } from "../../src/events/finalize.ts";
import { OpenParts } from "../../src/events/open-parts.ts";
import { compactEvents, readJournal, storeRun } from "./finish.ts";
import { hasLiveOwner } from "./ownership.ts";
import type { RunStateRow } from "./statements.ts";
import type { WriterContext } from "./writer-context.ts";

const INTERRUPTED = "The process that executed this run ended before the run did";

/**
 * Ends a run whose owner is gone: what its journal holds is finalized with RUN_ERROR, stored, and
 * the thread is free. A run that journaled nothing leaves nothing behind.
 */
export function recoverRun(context: WriterContext, state: RunStateRow): void {
  const { statements } = context;
  const runId = state.current_run_id;
  const journal = runId === null ? null : readJournal(context, runId);
  statements.freeThread.run(Date.now(), state.thread_id);
  if (runId === null || journal === null) return;
  if (journal.events.length > 0 && statements.storedRunEpoch.get(runId) === undefined) {
    const parts = new OpenParts();
    for (const event of journal.events) parts.observe(event);
    const closing = finalizeRun(parts, {
      threadId: state.thread_id,
      runId,
      stopped: false,
      code: "RUN_INTERRUPTED",
      message: INTERRUPTED,
    });
    const input = journal.input ?? "{}";
    const run = {
      threadId: state.thread_id,
      runId,
      // One higher than its owner's, who may only have slept: its late writes do not find
      // themselves stored, and are refused.
      epoch: (state.epoch ?? 0) + 1,
      agentId: null,
      input,
      finishedAt: Date.now(),
    };
    storeRun(context, run, compactEvents([...journal.events, ...closing], input));
  }
  statements.deleteJournal.run(runId);
}

/** Ends every run whose owner is dead. Returns how many there were. */
export function recoverDeadRuns(context: WriterContext): number {
  let recovered = 0;
  // Each in a transaction of its own: a process with thousands of dead runs to end must not keep
  // the others from writing meanwhile.
  for (const { thread_id } of context.statements.runningThreads.all()) {
    context.db
      .transaction(() => {
        const state = context.statements.stateOfThread.get(thread_id);
        if (state?.is_running !== 1 || state.owner_id === context.config.instanceId) return;
        if (hasLiveOwner(context, state)) return;
        recoverRun(context, state);
        recovered++;
      })
      .immediate();
  }
  return recovered;
}
