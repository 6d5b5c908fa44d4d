import type { WriterStatements } from "./statements.ts";

/** Where the segments of one run stand in `run_events`. */
export interface Journal {
  /** Ascending. */
  readonly ids: number[];
  /** The seq of the last of them. */
  lastSeq: number;
}

/**
 * All journals that are in the file, by run, found by reading it through: `run_events` has no
 * index, which every segment would have to pay for. Later questions read what has come since only.
 */
export class JournalScan {
  readonly #statements: WriterStatements;
  readonly #journals = new Map<string, Journal>();
  #upTo = 0;

  constructor(statements: WriterStatements) {
    this.#statements = statements;
  }

  journals(): ReadonlyMap<string, Journal> {
    for (const { id, run_id, seq } of this.#statements.segmentsBehind.iterate(this.#upTo)) {
      const journal = this.#journals.get(run_id);
      if (journal === undefined) {
        this.#journals.set(run_id, { ids: [id], lastSeq: seq });
      } else {
        journal.ids.push(id);
        journal.lastSeq = seq;
      }
      this.#upTo = id;
    }
    return this.#journals;
  }

  idsOf(runId: string): readonly number[] {
    return this.journals().get(runId)?.ids ?? [];
  }
}
