import type { Database } from "better-sqlite3";
import type { EventLike } from "../../../src/events/event.ts";
import { ThreadView } from "../../../src/events/view/thread-view.ts";
import type { ViewMessage, ViewRequest } from "../../../src/protocol/messages.ts";
import {
  addRuns,
  isWorthKeeping,
  jsonOfView,
  newMessages,
  type RestoredView,
  restoreView,
} from "../../../src/runs/made-view.ts";
import { packView, unpackView } from "../../../src/runs/packed-view.ts";
import type { ValueReader } from "../values/read-values.ts";
import type { KeptViewRow, ReadViewStatements } from "./statements.ts";

interface WhatWasRead {
  /** How many runs the view shows. */
  runs: number;
  /** UTF-16 units of the runs that were read. */
  length: number;
}

interface StartedView extends RestoredView {
  readonly read: WhatWasRead;
  /** Whether it was made from the view that was kept. */
  readonly isKept: boolean;
}

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

  /** The view after the runs up to a row. */
  viewUpTo(threadId: string, upToId: number): ThreadView {
    const { view } = this.#start(threadId, this.#statements.keptView.get(threadId, upToId), upToId);
    return view;
  }

  #read({ threadId, upToId: asked, leaveOut, since }: ViewRequest): ViewMessage {
    const lastId = asked ?? this.#statements.lastRunOfView.get(threadId) ?? 0;
    const upToId =
      leaveOut === 0
        ? lastId
        : (this.#statements.rowBeforeLast.get(threadId, lastId, leaveOut) ?? 0);
    const kept = this.#statements.keptView.get(threadId, since ?? upToId);
    const keptBytes = kept?.view.length ?? 0;
    const changedRuns = this.#statements.changedRuns.get(threadId) ?? 0;
    const read = { upToId, changedRuns, keptBytes };
    if (kept?.up_to === upToId) {
      const json = unpackView(kept.view);
      if (json !== undefined) {
        const messages = json.chunks.map((chunk) => chunk.json);
        const { rest } = json;
        return { ...read, rest, messages, same: null, runs: kept.runs, packed: null };
      }
    }
    const { view, chunks, read: added, isKept } = this.#start(threadId, kept, since ?? upToId);
    if (since !== null) {
      const before = view.messages;
      addRuns(view, threadId, this.#runs(threadId, since, upToId, added));
      return { ...read, ...newMessages(view, before), runs: added.runs, packed: null };
    }
    const json = jsonOfView(view, chunks);
    const isWorth = isWorthKeeping(json, added.length, isKept ? keptBytes : null);
    const packed = isWorth ? packView(json) : null;
    const messages = json.chunks.map((chunk) => chunk.json);
    return { ...read, rest: json.rest, messages, same: null, runs: added.runs, packed };
  }

  /** The view up to a row, made from the view that was kept, if it is one. */
  #start(threadId: string, kept: KeptViewRow | undefined, upToId: number): StartedView {
    const json = kept === undefined ? undefined : unpackView(kept.view);
    const restored = json === undefined ? undefined : restoreView(json);
    const isKept = kept !== undefined && restored !== undefined;
    const { view, chunks } = restored ?? { view: new ThreadView(), chunks: [] };
    const read = { runs: isKept ? kept.runs : 0, length: 0 };
    addRuns(view, threadId, this.#runs(threadId, isKept ? kept.up_to : 0, upToId, read));
    return { view, chunks, read, isKept };
  }

  *#runs(
    threadId: string,
    afterId: number,
    upToId: number,
    read: WhatWasRead,
  ): Generator<{ readonly runId: string; readonly events: Iterable<EventLike> }> {
    for (const row of this.#statements.runsOfView.iterate(threadId, afterId, upToId)) {
      read.length += this.#values.lengthOf(row);
      read.runs++;
      yield { runId: row.run_id, events: this.#values.parsedEventsOf(row) };
    }
  }
}
