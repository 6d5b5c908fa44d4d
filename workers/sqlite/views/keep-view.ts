import type { Database } from "better-sqlite3";
import type { KeepViewRequest } from "../../../src/protocol/messages.ts";
import { prepareKeepViewStatements } from "./statements.ts";

/** Keeps views of threads, so that the next view of such a thread is made from there on. */
export class KeptViews {
  readonly #keep: (request: KeepViewRequest) => void;

  constructor(db: Database) {
    const statements = prepareKeepViewStatements(db);
    const keep = ({ threadId, upToId, runs, view }: KeepViewRequest) => {
      // Runs may have been purged since the view was read: then it shows what is gone.
      if (statements.countRuns.get(threadId, upToId) !== runs) return;
      statements.keepView.run(threadId, upToId, runs, view);
    };
    this.#keep = db.transaction(keep).immediate;
  }

  keep(request: KeepViewRequest): void {
    this.#keep(request);
  }
}
