import { deflateRawSync, inflateRawSync } from "node:zlib";
import type { Database } from "better-sqlite3";
import { chunksOf } from "../../../src/events/json/chunks.ts";
import { ReplayRepair } from "../../../src/events/repair/repair.ts";
import { ThreadView } from "../../../src/events/view/thread-view.ts";
import type { ViewMessage, ViewRequest } from "../../../src/protocol/messages.ts";
import { parseEvents } from "../database/parse-events.ts";
import type { ValueReader } from "../values/read-values.ts";
import type { KeptViewRow, ReadViewStatements } from "./statements.ts";

/** UTF-16 units of the JSON of messages that the main thread parses in one task. */
const CHUNK_LENGTH = 64 * 1024;

/**
 * UTF-16 units of runs from which on a view is kept, if they are not fewer than those of the view itself.
 * Reading fewer again costs less than keeping the view.
 */
const MIN_KEPT_LENGTH = 128 * 1024;

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
    const start = kept === undefined ? undefined : restore(kept);
    const view = start ?? new ThreadView();
    const repair = new ReplayRepair(threadId, (event) => view.applyStored(event));
    let runs = start === undefined ? 0 : (kept?.runs ?? 0);
    let read = 0;
    const afterId = start === undefined ? 0 : (kept?.up_to ?? 0);
    for (const row of this.#statements.runsOfView.iterate(threadId, afterId, upToId)) {
      const json = this.#values.eventsOf(row);
      read += json.length;
      runs++;
      repair.startRun(row.run_id);
      for (const event of parseEvents(json) ?? []) repair.next(event);
    }
    repair.endRun();
    return { view, runs, read };
  }

  #read({ threadId, upToId: asked }: ViewRequest): ViewMessage {
    const upToId = asked ?? this.#statements.lastRunOfView.get(threadId) ?? 0;
    const { view, runs, read } = this.viewUpTo(threadId, upToId);
    const { messages: list, ...others } = view.toJSON();
    const messages = messageChunks(list);
    const rest = JSON.stringify(others);
    const viewLength = messages.reduce((sum, { length }) => sum + length, rest.length);
    const packed = read < Math.max(MIN_KEPT_LENGTH, viewLength) ? null : packView(messages, rest);
    return { rest, messages, upToId, runs, packed };
  }
}

/** JSON arrays of messages, none of them much longer than what one task parses. */
export function messageChunks(messages: readonly unknown[]): readonly string[] {
  return chunksOf(
    messages.map((message) => JSON.stringify(message)),
    CHUNK_LENGTH,
  );
}

function restore({ view }: KeptViewRow): ThreadView | undefined {
  try {
    return ThreadView.restore(JSON.parse(inflateRawSync(view).toString()));
  } catch {
    // Another program has written it. The view is made from the first run.
    return undefined;
  }
}

/** The JSON of a view, deflated. */
function packView(messages: readonly string[], rest: string): Uint8Array {
  const list = messages.map((chunk) => chunk.slice(1, -1)).filter((chunk) => chunk !== "");
  return deflateRawSync(`{"messages":[${list.join(",")}],${rest.slice(1)}`);
}
