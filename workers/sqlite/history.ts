import type {
  HistoryPageMessage,
  HoldingRun,
  PageCursor,
  PageRequest,
  PageSegment,
} from "../../src/protocol/messages.ts";
import { liveRun } from "./follow.ts";
import type { ReaderContext } from "./reader-context.ts";
import { parseEvents } from "./segments.ts";
import type { StoredRunOfLengthRow, StoredRunRow } from "./statements.ts";

/** Bytes of JSON a page holds at most, unless one event alone is longer. */
const PAGE_LENGTH = 64 * 1024;

/** How many rows larger than a page are kept cut up, for the pages that follow. */
const CUT_ROWS = 4;

/** The pages of a thread's stored runs, in the order in which they were stored. */
export class HistoryPages {
  readonly #context: ReaderContext;
  /** Row id to what is stored there, in page-sized chunks; the oldest entry goes first. */
  readonly #cut = new Map<number, CutRun>();

  constructor(context: ReaderContext) {
    this.#context = context;
  }

  read({ threadId, cursor }: PageRequest): HistoryPageMessage {
    const { live, from } = cursor === null ? this.#begin(threadId) : { live: null, from: cursor };
    const segments: PageSegment[] = [];
    let { afterId, chunk } = from;
    let length = 0;
    const { upToId } = from;
    const rows = this.#context.statements.runsOfThread;
    for (const row of rows.iterate({ length: PAGE_LENGTH, threadId, afterId, upToId })) {
      const { runId, epoch, chunks } = isWhole(row) ? wholeRun(row) : this.#cutRun(row.id);
      for (; chunk < chunks.length; chunk++) {
        const events = chunks[chunk] ?? "[]";
        if (length > 0 && length + events.length > PAGE_LENGTH) {
          return { segments, next: { afterId, chunk, upToId }, live };
        }
        length += events.length;
        const last = chunk === chunks.length - 1;
        segments.push({ runId, epoch, first: chunk === 0, last, events });
      }
      this.#cut.delete(row.id);
      afterId = row.id;
      chunk = 0;
    }
    return { segments, next: null, live };
  }

  /** Where the history ends and which run goes on behind it, as of one moment. */
  #begin(threadId: string): { readonly live: HoldingRun | null; readonly from: PageCursor } {
    const begin = () => {
      const upToId = this.#context.statements.lastRowOfThread.get(threadId) ?? 0;
      return { live: liveRun(this.#context, threadId), from: { afterId: 0, chunk: 0, upToId } };
    };
    return this.#context.db.transaction(begin)();
  }

  #cutRun(id: number): CutRun {
    const known = this.#cut.get(id);
    if (known !== undefined) return known;
    // Someone may have purged the row since; then it has no events any more.
    const row = this.#context.statements.storedRun.get(id) ?? NO_RUN;
    const run = { runId: row.run_id, epoch: row.epoch, chunks: cutRow(row.events) };
    this.#cut.set(id, run);
    const [oldest = id] = this.#cut.keys();
    if (this.#cut.size > CUT_ROWS) this.#cut.delete(oldest);
    return run;
  }
}

/** A stored run, its events as one or several JSON arrays. */
interface CutRun {
  readonly runId: string;
  readonly epoch: number | null;
  readonly chunks: readonly string[];
}

const NO_RUN: StoredRunRow = { run_id: "", epoch: null, events: "[]" };

function isWhole(row: StoredRunOfLengthRow): row is StoredRunOfLengthRow & StoredRunRow {
  return row.events !== null;
}

function wholeRun({ run_id: runId, epoch, events }: StoredRunRow): CutRun {
  return { runId, epoch, chunks: [events] };
}

/** One long JSON array as several, each at most a page long. What cannot be read stays whole. */
function cutRow(json: string): readonly string[] {
  const events = parseEvents(json);
  if (events === null) return [json];
  const chunks: string[] = [];
  let parts: string[] = [];
  let length = 0;
  for (const event of events) {
    const part = JSON.stringify(event);
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
