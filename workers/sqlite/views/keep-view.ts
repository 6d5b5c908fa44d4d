import type { Database } from "better-sqlite3";
import type { KeepViewRequest } from "../../../src/protocol/messages.ts";
import { viewsToDrop } from "../../../src/runs/kept-views.ts";
import { prepareKeepViewStatements } from "./statements.ts";

/** Keeps two views of a thread: the latest, and an older one. */
export class KeptViews {
  readonly #keep: (request: KeepViewRequest) => void;

  constructor(db: Database) {
    const statements = prepareKeepViewStatements(db);
    const keep = ({ threadId, upToId, runs, changedRuns, packed }: KeepViewRequest) => {
      const now = statements.runsNow.get(threadId, upToId, threadId);
      // Runs may have been purged or changed since the view was read: then it shows what is gone.
      if (now?.runs !== runs || now.changedRuns !== changedRuns) return;
      const others = statements.keptViews.all(threadId).filter((view) => view.upToId !== upToId);
      const kept = [...others, { upToId, runs }].sort((a, b) => a.upToId - b.upToId);
      // Dropped before the new view is kept, which then takes their pages.
      for (const dropped of viewsToDrop(kept, upToId, packed.length)) {
        statements.dropView.run(threadId, dropped.upToId);
      }
      statements.keepView.run(threadId, upToId, runs, packed);
    };
    this.#keep = db.transaction(keep).immediate;
  }

  keep(request: KeepViewRequest): void {
    this.#keep(request);
  }
}
