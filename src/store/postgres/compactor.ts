import {
  type CompactedRun,
  compactJournal,
  cutRun,
  type Journal,
} from "../../runs/compact-journal.ts";

/** UTF-16 units of JSON up to which a run is compacted on the main thread: sending it costs as much. */
const MAX_ON_MAIN_THREAD = 64 * 1024;

/** Compacts journaled runs and cuts stored ones into pages. Long ones outside the main thread. */
export class Compactor {
  readonly #worker: CompactorWorker;

  constructor(worker: CompactorWorker) {
    this.#worker = worker;
  }

  async compact(journal: Journal): Promise<CompactedRun> {
    const length = journal.segments.reduce((sum, segment) => sum + segment.length, 0);
    return length <= MAX_ON_MAIN_THREAD ? compactJournal(journal) : this.#worker.compact(journal);
  }

  async cut(events: string): Promise<readonly string[]> {
    return events.length <= MAX_ON_MAIN_THREAD ? cutRun(events) : this.#worker.cut(events);
  }

  end(): Promise<void> {
    return this.#worker.end();
  }
}

export interface CompactorWorker {
  compact(journal: Journal): Promise<CompactedRun>;
  cut(events: string): Promise<readonly string[]>;
  end(): Promise<void>;
}
