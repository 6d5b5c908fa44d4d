import type { Database } from "better-sqlite3";
import type { EventLike } from "../../../src/events/event.ts";
import { ThreadView } from "../../../src/events/view/thread-view.ts";
import type { ViewMessage, ViewRequest } from "../../../src/protocol/messages.ts";
import {
  addRuns,
  isWorthKeeping,
  madeView,
  packView,
  restoreView,
} from "../../../src/runs/made-view.ts";
import { parseEvents } from "../database/parse-events.ts";
import type { ValueReader } from "../values/read-values.ts";
import type { ReadViewStatements } from "./statements.ts";

/** Makes the view of a thread: from the view that was kept, and the runs behind it. */
export class ViewReader {
  readonly #db: Database;
  readonly #statements: ReadViewStatements;
  readonly #values: ValueReader;

  constructor(db: Database, statements: ReadViewStatements, values: ValueReader) {
    this.#db = db;
    this.#statements = statements;
    this.#values = values;
  }

  read(request: ViewRequest): ViewMessage {
    // In one transaction: a purge in the middle would leave a view of no moment.
    return this.#db.transaction(() => this.#read(request))();
  }

  /** The view after the runs up to a row, how many runs these are, and the UTF-16 units that were read. */
  viewUpTo(
    threadId: string,
    upToId: number,
  ): { readonly view: ThreadView; readonly runs: number; readonly read: number } {
    const kept = this.#statements.keptView.get(threadId, upToId);
    const start = kept === undefined ? undefined : restoreView(kept.view);
    const view = start ?? new ThreadView();
    const afterId = start === undefined ? 0 : (kept?.up_to ?? 0);
    const read = { runs: start === undefined ? 0 : (kept?.runs ?? 0), length: 0 };
    addRuns(view, threadId, this.#runs(threadId, afterId, upToId, read));
    return { view, runs: read.runs, read: read.length };
  }

  #read({ threadId, upToId: asked }: ViewRequest): ViewMessage {
    const upToId = asked ?? this.#statements.lastRunOfView.get(threadId) ?? 0;
    const { view, runs, read } = this.viewUpTo(threadId, upToId);
    const made = madeView(view);
    const packed = isWorthKeeping(made, read) ? packView(made) : null;
    return { ...made, upToId, runs, packed };
  }

  *#runs(
    threadId: string,
    afterId: number,
    upToId: number,
    read: { runs: number; length: number },
  ): Generator<{ readonly runId: string; readonly events: readonly EventLike[] }> {
    for (const row of this.#statements.runsOfView.iterate(threadId, afterId, upToId)) {
      const json = this.#values.eventsOf(row);
      read.length += json.length;
      read.runs++;
      yield { runId: row.run_id, events: parseEvents(json) ?? [] };
    }
  }
}
