import {
  type CompactedRun,
  compactJournal,
  type Journal,
} from "../../events/compact/compact-journal.ts";

/** UTF-16 units of JSON up to which a run is compacted on the main thread: sending it costs as much. */
const MAX_ON_MAIN_THREAD = 64 * 1024;

/** Compacts journaled runs, long ones outside the main thread. */
export class Compactor {
  readonly #worker: CompactorWorker;

  constructor(worker: CompactorWorker) {
    this.#worker = worker;
  }

  async compact(journal: Journal): Promise<CompactedRun> {
    const length = journal.segments.reduce((sum, segment) => sum + segment.length, 0);
    if (length <= MAX_ON_MAIN_THREAD) return compactJournal(journal);
    return this.#worker.compact(journal);
  }

  end(): Promise<void> {
    return this.#worker.end();
  }
}

export interface CompactorWorker {
  compact(journal: Journal): Promise<CompactedRun>;
  end(): Promise<void>;
}
