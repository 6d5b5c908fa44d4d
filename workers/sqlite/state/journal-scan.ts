import { keyOf, type RunKey } from "../../../src/protocol/run-key.ts";
import type { JournalStatements, RunKeyRow } from "./statements.ts";

/** The rows of one run in `run_events`. */
export interface JournalRows {
  /** Row ids, ascending. */
  readonly ids: number[];
  /** The seq of the last row. */
  lastSeq: number;
}

/** `keyOf` the run that a row belongs to. */
export function keyOfRow({ thread_id: threadId, epoch }: RunKeyRow): string {
  return keyOf({ threadId, epoch });
}

/**
 * All journals in the file, by `keyOf` their run. A scan reads the whole table: an index on `run_events`
 * would cost every segment a write. A later scan reads only the rows written since the scan before.
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
