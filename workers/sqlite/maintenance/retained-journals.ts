import { keyOf, type RunKey } from "../../../src/protocol/run-key.ts";
import { hasLiveNeighbours } from "../instances/instances.ts";
import type { WriterContext } from "../runs/writer-context.ts";
import { prepareRetainedJournalStatements, type RetainedJournalStatements } from "./statements.ts";

/** How long the journal of a run that has ended is kept for those who follow it, */
const KEPT_MS = 30_000;
/** and when nobody else has the file open: who waits for the run here has seen its end by then. */
const KEPT_ALONE_MS = 5000;

/**
 * The journals of runs that have ended, kept for those who follow them in other processes. Each
 * process measures by itself how long it has known of one: clocks of others may differ, or be set.
 */
export class KeptJournals {
  readonly #context: WriterContext;
  readonly #statements: RetainedJournalStatements;
  /** `keyOf` a run to the moment in which this process first saw its journal kept. */
  #seenAt = new Map<string, number>();

  constructor(context: WriterContext) {
    this.#context = context;
    this.#statements = prepareRetainedJournalStatements(context.db);
  }

  /** Deletes those that were kept for long enough. */
  sweep(): void {
    const { db } = this.#context;
    const kept = this.#statements.retainedJournals
      .all()
      .map(({ thread_id: threadId, epoch }): RunKey => ({ threadId, epoch }));
    const now = performance.now();
    const seenAt = (run: RunKey) => this.#seenAt.get(keyOf(run)) ?? now;
    this.#seenAt = new Map(kept.map((run) => [keyOf(run), seenAt(run)]));
    if (kept.length === 0) return;
    const keptMs = hasLiveNeighbours(this.#context) ? KEPT_MS : KEPT_ALONE_MS;
    const due = kept.filter((run) => now - seenAt(run) >= keptMs);
    if (due.length === 0) return;
    const forget = db.transaction(() => {
      for (const run of due) this.#forget(run);
    });
    forget.immediate();
  }

  #forget({ threadId, epoch }: RunKey): void {
    const ids = this.#statements.forgetRetainedJournal.get(threadId, epoch);
    if (ids !== undefined) this.#context.statements.deleteSegments.run(ids);
  }
}
