import type {
  HistoryPageMessage,
  PageCursor,
  PageRequest,
  PageSegment,
} from "../../../src/protocol/messages.ts";
import { parseEvents } from "../database/parse-events.ts";
import { ValueReader } from "../values/read-values.ts";
import type { StoredEventsRow } from "../values/statements.ts";
import type { ReaderContext } from "./reader-context.ts";
import { threadNow } from "./who-runs.ts";

/** UTF-16 units of JSON that a page holds at most, unless one event alone is longer. */
const PAGE_LENGTH = 64 * 1024;

/** How many rows longer than a page are remembered, cut into chunks, for the pages that follow. */
const CUT_ROWS = 4;

/** What the first page of a history says of the thread. */
type Now = Pick<HistoryPageMessage, "live" | "endedUpTo">;

/** What later pages say of the thread: nothing. */
const LATER: Now = { live: null, endedUpTo: 0 };

/** The pages of a thread's stored runs, in the order in which they were stored. */
export class HistoryPages {
  readonly #context: ReaderContext;
  readonly #values: ValueReader;
  /** By row id, the events of a long row in page-sized chunks. The oldest entry is forgotten first. */
  readonly #cut = new Map<number, readonly string[]>();

  constructor(context: ReaderContext) {
    this.#context = context;
    this.#values = new ValueReader(context.statements);
  }

  read({ threadId, cursor }: PageRequest): HistoryPageMessage {
    const { from, ...now } = cursor === null ? this.#begin(threadId) : { from: cursor, ...LATER };
    const segments: PageSegment[] = [];
    let { afterId, chunk } = from;
    let length = 0;
    const { upToId } = from;
    const rows = this.#context.statements.runsOfThread;
    for (const row of rows.iterate(PAGE_LENGTH, threadId, afterId, upToId)) {
      const chunks = row.events === null ? this.#chunksOf(row.id) : [row.events];
      for (; chunk < chunks.length; chunk++) {
        const events = chunks[chunk] ?? "[]";
        if (length > 0 && length + events.length > PAGE_LENGTH) {
          return { segments, next: { afterId, chunk, upToId }, ...now };
        }
        length += events.length;
        const last = chunk === chunks.length - 1;
        segments.push({ runId: row.run_id, first: chunk === 0, last, events });
      }
      this.#cut.delete(row.id);
      afterId = row.id;
      chunk = 0;
    }
    return { segments, next: null, ...now };
  }

  /** Where the history ends and which run holds the thread, read in one transaction. */
  #begin(threadId: string): Now & { readonly from: PageCursor } {
    const begin = () => {
      const upToId = this.#context.statements.lastRowOfThread.get(threadId) ?? 0;
      return { ...threadNow(this.#context, threadId), from: { afterId: 0, chunk: 0, upToId } };
    };
    return this.#context.db.transaction(begin)();
  }

  #chunksOf(id: number): readonly string[] {
    const known = this.#cut.get(id);
    if (known !== undefined) return known;
    // Somebody may have purged the row since the first page: then it has no events.
    const row = this.#context.statements.eventsOfRun.get(id);
    const chunks = row === undefined ? ["[]"] : this.#cutRow(row);
    this.#cut.set(id, chunks);
    const [oldest = id] = this.#cut.keys();
    if (this.#cut.size > CUT_ROWS) this.#cut.delete(oldest);
    return chunks;
  }

  /** Text that is no JSON array stays whole. */
  #cutRow(row: StoredEventsRow): readonly string[] {
    const events =
      row.shared_events === null
        ? parseEvents(row.events)?.map((event) => JSON.stringify(event))
        : this.#values.eachEventOf(row);
    return events ? chunksOf(events) : [this.#values.eventsOf(row)];
  }
}

/** JSON arrays of the events whose JSON is given, each at most a page long. */
function chunksOf(events: readonly string[]): readonly string[] {
  const chunks: string[] = [];
  let parts: string[] = [];
  let length = 0;
  for (const part of events) {
    if (length > 0 && length + part.length + 2 > PAGE_LENGTH) {
      chunks.push(`[${parts.join(",")}]`);
      parts = [];
      length = 0;
    }
    parts.push(part);
    length += part.length + 1;
  }
  chunks.push(`[${parts.join(",")}]`);
  return chunks;
}
