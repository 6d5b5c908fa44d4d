import type { CompactedRun, PieceOfRun } from "../protocol/compactor-messages.ts";
import { JournalCompactor } from "./compact-journal.ts";

/** How many runs are kept at a time. */
const MAX_RUNS = 8;

/**
 * Long runs, compacted as far as their journals were read. A run that is lost here, with the thread or because there
 * are too many, is compacted whole when it ends.
 */
export class LongJournals {
  /** The oldest comes first. */
  readonly #runs = new Map<string, JournalCompactor>();

  /** Returns whether the pieces before are here: else this piece is of no use. */
  add({ run, from, input, segments }: PieceOfRun): boolean {
    const known = this.#take(run, from) ?? (from === 0 ? new JournalCompactor(input) : null);
    if (known === null) return false;
    known.add(segments);
    this.#runs.set(run, known);
    const [oldest = run] = this.#runs.keys();
    if (this.#runs.size > MAX_RUNS) this.#runs.delete(oldest);
    return true;
  }

  finish({ run, from, segments }: PieceOfRun): CompactedRun | null {
    const known = this.#take(run, from);
    if (known === null) return null;
    known.add(segments);
    return known.finish();
  }

  /** Removes it: if adding to it fails, it is of no more use. */
  #take(run: string, from: number): JournalCompactor | null {
    const known = this.#runs.get(run);
    this.#runs.delete(run);
    return known?.segments === from ? known : null;
  }
}
