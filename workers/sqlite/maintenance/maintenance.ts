import type { WriterNotice } from "../../../src/protocol/messages.ts";
import { keyOf } from "../../../src/protocol/run-key.ts";
import { concernsWholeFile } from "../database/fault.ts";
import { beat, forgetDeadInstances, hasNeighbours } from "../instances/instances.ts";
import { recoverDeadRuns } from "../runs/recover.ts";
import { ownRunsToStop } from "../runs/stop-requests.ts";
import type { WriterContext } from "../runs/writer-context.ts";
import { KeptJournals } from "./retained-journals.ts";

/** Heartbeats per lease, so that one or two that fail do not end it. */
const BEATS_PER_LEASE = 3;
/** How often a writer that is not alone on its file looks whether another one has written. */
const WATCH_MS = 10;
/** How often it looks whether another one is dead. */
const REAP_MS = 1000;

/**
 * Keeps this instance alive in the eyes of the others on its file, and looks after them: tells the
 * main thread when they have written, hands over what they ask of it, ends the runs of the dead.
 *
 * A writer that is alone only beats its heart. It finds out that it is not when someone else has
 * written: at its next batch or its next beat.
 */
export class Neighbours {
  readonly #context: WriterContext;
  readonly #tell: (notice: WriterNotice) => void;
  /** Whether the open file still has its name. If not, this was ended. */
  readonly #isFileThere: () => boolean;
  #heartbeat: NodeJS.Timeout | undefined;
  #beatMs: number;
  #watch: NodeJS.Timeout | null = null;
  #version: number;
  #beatenAt = performance.now();
  #reapedAt = performance.now();
  /** Runs of this instance that were told to end. */
  readonly #told = new Set<string>();
  /** What kept a dead run from being ended the last time. */
  #toldFault: string | null = null;
  readonly #kept: KeptJournals;

  constructor(
    context: WriterContext,
    tell: (notice: WriterNotice) => void,
    isFileThere: () => boolean,
  ) {
    this.#context = context;
    this.#isFileThere = isFileThere;
    this.#tell = tell;
    this.#kept = new KeptJournals(context);
    this.#version = this.#dataVersion();
    this.#beatMs = this.#nextBeatMs();
    this.#scheduleBeat();
    if (hasNeighbours(context)) this.#startWatch();
  }

  /**
   * Called before every batch. Whoever opens the file writes to it. And what this instance takes
   * after it has slept, it takes alive: its timer may be late.
   */
  notice(): void {
    if (performance.now() - this.#beatenAt > 2 * this.#beatMs) this.#beat();
    if (this.#watch === null && this.#hasChanged()) this.meet();
  }

  /** Sees whether this instance is alone still. */
  meet(): void {
    if (this.#watch !== null || !hasNeighbours(this.#context)) return;
    this.#startWatch();
    this.#beatMs = this.#nextBeatMs();
    this.#scheduleBeat();
    this.#passOn();
  }

  end(): void {
    clearTimeout(this.#heartbeat);
    this.#stopWatch();
  }

  #scheduleBeat(): void {
    clearTimeout(this.#heartbeat);
    this.#heartbeat = setTimeout(() => {
      if (!this.#isFileThere()) return;
      this.#guarded(() => this.#beat());
      this.#scheduleBeat();
    }, this.#beatMs);
  }

  /** As often as the shortest lease of all asks for: hearts are judged from one beat of this one to the next. */
  #nextBeatMs(): number {
    const leases = this.#context.statements.instances.all().map(({ lease_ms }) => lease_ms);
    return Math.min(this.#context.config.leaseMs, ...leases) / BEATS_PER_LEASE;
  }

  #beat(): void {
    const sinceMs = performance.now() - this.#beatenAt;
    beat(this.#context);
    this.#beatenAt = performance.now();
    if (sinceMs >= this.#context.config.leaseMs) this.#tell({ kind: "overslept" });
    // A beat that comes late may be late because nobody could write.
    const isLate = sinceMs > 2 * this.#beatMs;
    this.#context.liveness.observe(this.#context.statements.instances.all(), isLate ? 0 : sinceMs);
    this.#beatMs = this.#nextBeatMs();
    if (this.#watch !== null) return;
    this.#reap();
    this.meet();
    this.#passOn();
  }

  #look(): void {
    const changed = this.#hasChanged();
    if (performance.now() - this.#reapedAt >= Math.min(REAP_MS, this.#beatMs)) {
      this.#reap();
      // What was not done by now is asked for again: the first word may have come too early.
      this.#told.clear();
      this.#passOn();
      if (!hasNeighbours(this.#context)) this.#stopWatch();
    }
    if (changed) {
      this.#passOn();
      this.#tell({ kind: "changed" });
    }
  }

  #reap(): void {
    this.#reapedAt = performance.now();
    const recovered = recoverDeadRuns(this.#context, { keep: true });
    if (forgetDeadInstances(this.#context) > 0) this.#context.journals.sweepOrphans();
    this.#kept.sweep();
    // A run that cannot be ended is met again each time, and is told of once.
    const isNew = recovered.fault !== null && recovered.fault.message !== this.#toldFault;
    if (recovered.runs > 0 || isNew) this.#tell({ kind: "recovered", ...recovered });
    this.#toldFault = recovered.fault?.message ?? null;
    if (recovered.runs === 0) return;
    this.#tell({ kind: "changed" });
  }

  /** Hands over what other instances ask of runs of this one. */
  #passOn(): void {
    for (const run of ownRunsToStop(this.#context)) {
      const word = `${run.discard} ${keyOf(run)}`;
      if (this.#told.has(word)) continue;
      this.#told.add(word);
      this.#tell({ kind: "stop", ...run });
    }
  }

  #startWatch(): void {
    this.#watch ??= setInterval(() => this.#guarded(() => this.#look()), WATCH_MS);
  }

  #stopWatch(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
    this.#told.clear();
  }

  /** Whether another connection has written since this was last asked. */
  #hasChanged(): boolean {
    const version = this.#dataVersion();
    if (version === this.#version) return false;
    this.#version = version;
    return true;
  }

  /** https://www.sqlite.org/pragma.html#pragma_data_version */
  #dataVersion(): number {
    return this.#context.statements.dataVersion.get() ?? 0;
  }

  /** A locked or full disk: the next time may get through, and the batches report the fault. */
  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!concernsWholeFile(error)) throw error;
    }
  }
}
