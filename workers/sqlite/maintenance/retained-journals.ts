import { keyOf, type RunKey } from "../../../src/protocol/run-key.ts";
import { hasOtherLiveInstances } from "../instances/instances.ts";
import type { WriterContext } from "../runs/writer-context.ts";
import { prepareRetainedJournalStatements, type RetainedJournalStatements } from "./statements.ts";

/** How long the journal of an ended run is retained while another instance has the file open. */
const RETAINED_MS = 30_000;

/**
 * How long the journal of an ended run is retained while this instance is alone. By then, the followers
 * in this process have read the end of the run.
 */
const RETAINED_ALONE_MS = 5000;

/**
 * The journals of ended runs, retained for clients that follow those runs in other processes. Each
 * process measures for itself how long it has known a journal: the clock of another process may differ.
 */
export class RetainedJournals {
  readonly #context: WriterContext;
  readonly #statements: RetainedJournalStatements;
  /**
   * By `keyOf` the run, when this process first saw its journal, in milliseconds of
   * `performance.now()`.
   */
  #seenAt = new Map<string, number>();

  constructor(context: WriterContext) {
    this.#context = context;
    this.#statements = prepareRetainedJournalStatements(context.db);
  }

  /** Deletes the journals that were retained for long enough. */
  sweep(): void {
    const runs = this.#statements.retainedJournals
      .all()
      .map(({ thread_id: threadId, epoch }): RunKey => ({ threadId, epoch }));
    const now = performance.now();
    const seenAt = (run: RunKey) => this.#seenAt.get(keyOf(run)) ?? now;
    this.#seenAt = new Map(runs.map((run) => [keyOf(run), seenAt(run)]));
    if (runs.length === 0) return;
    const retainedMs = hasOtherLiveInstances(this.#context) ? RETAINED_MS : RETAINED_ALONE_MS;
    const due = runs.filter((run) => now - seenAt(run) >= retainedMs);
    if (due.length === 0) return;
    const deleteDue = this.#context.db.transaction(() => {
      for (const run of due) this.#delete(run);
    });
    deleteDue.immediate();
  }

  #delete({ threadId, epoch }: RunKey): void {
    const segmentIds = this.#statements.forgetRetainedJournal.get(threadId, epoch);
    if (segmentIds !== undefined) this.#context.statements.deleteSegments.run(segmentIds);
  }
}
