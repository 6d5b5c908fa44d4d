import type { StoreFault } from "../../../src/protocol/errors.ts";
import type { WriterNotice } from "../../../src/protocol/messages.ts";
import { concernsWholeFile, toFault } from "../database/fault.ts";
import { beat, forgetDeadInstances } from "../instances/instances.ts";
import { hasLiveOwner } from "../instances/ownership.ts";
import type { RunStateRow } from "../instances/statements.ts";
import { offeredRuns } from "../runs/interrupted-runs.ts";
import { type RecoverOptions, recoverRun } from "../runs/recover.ts";
import { forgetUncommitted, type WriterContext } from "../runs/writer-context.ts";
import { JournalScan } from "../state/journal-scan.ts";
import { RetainedJournals } from "./retained-journals.ts";
import { StaleValues } from "./stale-values.ts";

/** The outcome of a search for the runs of dead instances. */
export interface Recovered {
  /** How many runs were ended. */
  readonly runs: number;
  /**
   * Why a run could not be ended: the last such fault. A run that was not ended still holds its thread.
   */
  readonly fault: StoreFault | null;
}

/** Ends the runs of dead instances, then forgets the instances and what is left of their journals. */
export function reap(context: WriterContext, options: Pick<RecoverOptions, "retain">): Recovered {
  const recovered = recoverDeadRuns(context, options);
  if (forgetDeadInstances(context) > 0) context.journals.sweepOrphans();
  return recovered;
}

/** Ends every run whose owner is dead. A run that cannot be ended does not hinder the others. */
function recoverDeadRuns(
  context: WriterContext,
  { retain }: Pick<RecoverOptions, "retain">,
): Recovered {
  const { statements, config } = context;
  const isDead = (state: RunStateRow | undefined): state is RunStateRow =>
    state?.is_running === 1 && !hasLiveOwner(context, state);
  const options = { retain, scan: new JournalScan(statements) };
  let runs = 0;
  let fault: StoreFault | null = null;
  let beatenAt = performance.now();
  // Each run has a transaction of its own: ending thousands of runs in one transaction would keep the
  // other processes from writing.
  for (const found of statements.runsOfOthers.all(config.instanceId)) {
    // Between two transactions the other processes can write, and judge this instance by its heartbeat.
    if (performance.now() - beatenAt > config.leaseMs / 3) {
      beat(context);
      beatenAt = performance.now();
    }
    // This first check needs no write lock, so a run with a live owner costs none.
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

/** Reaps, tells the main thread of the outcome, and sweeps retained journals and stale values. */
export class Reaper {
  readonly #context: WriterContext;
  readonly #notify: (notice: WriterNotice) => void;
  readonly #retained: RetainedJournals;
  readonly #values: StaleValues;
  #reapedAt = performance.now();
  /** The message of the fault that was sent to the main thread last. */
  #sentFault: string | null = null;

  constructor(context: WriterContext, notify: (notice: WriterNotice) => void) {
    this.#context = context;
    this.#notify = notify;
    this.#retained = new RetainedJournals(context);
    this.#values = new StaleValues(context);
  }

  isDue(intervalMs: number): boolean {
    return performance.now() - this.#reapedAt >= intervalMs;
  }

  reap(): void {
    this.#reapedAt = performance.now();
    const recovered = reap(this.#context, { retain: true });
    this.#retained.sweep();
    this.#values.sweep();
    // A run that cannot be ended fails in the same way each time: its fault is sent once.
    const isNew = recovered.fault !== null && recovered.fault.message !== this.#sentFault;
    if (recovered.runs > 0 || isNew) this.#notify({ kind: "recovered", ...recovered });
    this.#sentFault = recovered.fault?.message ?? null;
    if (recovered.runs > 0) this.#notify({ kind: "changed" });
    this.offerInterrupted();
  }

  /** Tells the main thread which interrupted runs it may run again, if it wants any. */
  offerInterrupted(): void {
    if (this.#context.config.offersInterrupted !== true) return;
    const runs = offeredRuns(this.#context);
    if (runs.length > 0) this.#notify({ kind: "interrupted", runs });
  }
}
