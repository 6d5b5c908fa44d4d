import type { Database } from "better-sqlite3";
import type { KeepViewRequest } from "../../../src/protocol/messages.ts";
import { type KeptViewRow, prepareKeepViewStatements } from "./statements.ts";

/** How many runs lie between the two views of a thread, so that the older one serves a folded history. */
const RUNS_BETWEEN = 50;

/** Of a thread with a larger view, in bytes, only one is kept: attachments do not deflate. */
const MAX_TWO_BYTES = 512 * 1024;

/** Keeps two views of a thread: the latest, and an older one. */
export class KeptViews {
  readonly #keep: (request: KeepViewRequest) => void;

  constructor(db: Database) {
    const statements = prepareKeepViewStatements(db);
    const keep = ({ threadId, upToId, runs, packed }: KeepViewRequest) => {
      // Runs may have been purged since the view was read: then it shows what is gone.
      if (statements.countRuns.get(threadId, upToId) !== runs) return;
      statements.keepView.run(threadId, upToId, runs, packed);
      const kept = statements.keptViews.all(threadId);
      const dropped =
        packed.length > MAX_TWO_BYTES
          ? kept.filter(({ up_to: upTo }) => upTo !== upToId)
          : droppedOf(kept, upToId);
      for (const { up_to: upTo } of dropped) statements.dropView.run(threadId, upTo);
    };
    this.#keep = db.transaction(keep).immediate;
  }

  keep(request: KeepViewRequest): void {
    this.#keep(request);
  }
}

type Kept = Omit<KeptViewRow, "view">;

/** Which of three views to drop after `added` was added to two. They are in the order of the thread. */
function droppedOf([oldest, middle, latest]: readonly Kept[], added: number): readonly Kept[] {
  if (oldest === undefined || middle === undefined || latest === undefined) return [];
  const isFarApart = middle.runs - oldest.runs >= RUNS_BETWEEN;
  return [latest.up_to === added && !isFarApart ? middle : oldest];
}
