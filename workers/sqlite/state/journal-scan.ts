import { keyOf, type RunKey } from "../../../src/protocol/run-key.ts";
import type { JournalStatements, RunKeyRow } from "./statements.ts";

/** Where the segments of one run stand in `run_events`. */
export interface JournalRows {
  /** Ascending. */
  readonly ids: number[];
  /** The seq of the last of them. */
  lastSeq: number;
}

/** `keyOf` the run that a row is of. */
export function keyOfRow({ thread_id: threadId, epoch }: RunKeyRow): string {
  return keyOf({ threadId, epoch });
}

/**
 * All journals that are in the file, by `keyOf` their run, found by reading it through: `run_events` has no
 * index, which every segment would have to pay for. Later questions read what has come since only.
 */
export class JournalScan {
  readonly #statements: JournalStatements;
  readonly #journals = new Map<string, JournalRows>();
  #upTo = 0;

  constructor(statements: JournalStatements) {
    this.#statements = statements;
  }

  journals(): ReadonlyMap<string, JournalRows> {
    for (const row of this.#statements.segmentsBehind.iterate(this.#upTo)) {
      const { id, seq } = row;
      const key = keyOfRow(row);
      const journal = this.#journals.get(key);
      if (journal === undefined) {
        this.#journals.set(key, { ids: [id], lastSeq: seq });
      } else {
        journal.ids.push(id);
        journal.lastSeq = seq;
      }
      this.#upTo = id;
    }
    return this.#journals;
  }

  idsOf(run: RunKey): readonly number[] {
    return this.journals().get(keyOf(run))?.ids ?? [];
  }
}
