import type { CutRow } from "../../../src/protocol/compactor-messages.ts";
import type {
  HistoryPageMessage,
  PageCursor,
  PageRequest,
} from "../../../src/protocol/messages.ts";
import type { RunDetails, RunRef } from "../../../src/protocol/threads.ts";
import { fillPage, type HistoryRow, PAGE_LENGTH } from "../../../src/runs/history-page.ts";
import { cutRow, isShownWhole } from "../../../src/runs/history-row.ts";
import { VERSION_1_EPOCH } from "../../../src/runs/holder.ts";
import { isThreadVisible } from "../instances/ownership.ts";
import { findStoredRun } from "../runs/stored-runs.ts";
import type { RunRow } from "../threads/statements.ts";
import { summaryOfRow, tokensOfRow } from "../threads/thread-facts.ts";
import type { ValueReader } from "../values/read-values.ts";
import type { StoredEventsRow } from "../values/statements.ts";
import { placesJson } from "../values/stored-places.ts";
import type { ReaderContext } from "./reader-context.ts";
import type { StoredRunRow } from "./statements.ts";
import { readThreadNow } from "./who-runs.ts";

/** How many long rows are kept as chunks for the pages that follow. */
const CUT_ROWS = 4;

/** The state of the thread, on the first page of a history. */
type Now = Pick<HistoryPageMessage, "live" | "endedUpTo" | "views" | "run">;

/** The same fields on later pages, which do not tell the state of the thread. */
const LATER: Now = { live: null, endedUpTo: 0 };

const UNKNOWN_THREAD: HistoryPageMessage = {
  segments: [],
  next: null,
  views: { before: null, end: 0 },
  ...LATER,
};

/** The pages of a thread's stored runs, in the order in which they were stored. */
export class HistoryPages {
  readonly #context: ReaderContext;
  readonly #values: ValueReader;
  /** By row id and form, long rows. The oldest entry is forgotten first. */
  readonly #cutRows = new Map<string, CutRow>();

  constructor(context: ReaderContext, values: ValueReader) {
    this.#context = context;
    this.#values = values;
  }

  read({ threadId, scope, cursor, runs, forReplay, run }: PageRequest): HistoryPageMessage {
    const begun = this.#begin(threadId, { scope, cursor, runs, run });
    if (begun === null) return run === null ? UNKNOWN_THREAD : { ...UNKNOWN_THREAD, run: null };
    const { from, ...now } = begun;
    const seen = { trimmed: false };
    const page = fillPage(this.#rows(threadId, from, forReplay, seen), from);
    return { ...page, ...seen, ...now };
  }

  *#rows(
    threadId: string,
    { afterId, upToId }: PageCursor,
    forReplay: boolean,
    seen: { trimmed: boolean },
  ): Generator<HistoryRow> {
    const rows = this.#context.statements.runsOfThread;
    for (const row of rows.iterate(PAGE_LENGTH, threadId, afterId, upToId)) {
      const { chunks, trimmed } = this.#cutRow(row, forReplay);
      seen.trimmed ||= trimmed;
      yield { id: row.id, runId: row.run_id, chunks };
      // The page holds the rest of the row: no later page needs it.
      this.#cutRows.delete(nameOf(row.id, forReplay));
    }
  }

  /**
   * Reads in one transaction whose thread it is, where the history ends and which run holds the thread. Null
   * for a thread that the call does not see.
   */
  #begin(
    threadId: string,
    { scope, cursor, runs, run }: Pick<PageRequest, "scope" | "cursor" | "runs" | "run">,
  ): (Now & { readonly from: PageCursor }) | null {
    const { statements } = this.#context;
    const begin = () => {
      if (!isThreadVisible(this.#context.statements, threadId, scope)) return null;
      if (cursor !== null) return { from: cursor, ...LATER };
      if (run !== null) {
        return { ...readThreadNow(this.#context, threadId), ...this.#runOnly(threadId, run) };
      }
      const upToId = statements.lastRowOfThread.get(threadId) ?? 0;
      const before =
        runs === null ? null : (statements.rowBeforeLast.get(threadId, upToId, runs) ?? null);
      const views = { before, end: upToId };
      const from = { afterId: before ?? 0, chunk: 0, upToId };
      return { ...readThreadNow(this.#context, threadId), views, from };
    };
    return this.#context.db.transaction(begin)();
  }

  /** What a history of this run alone begins with. */
  #runOnly(
    threadId: string,
    { epoch, runId }: RunRef,
  ): Pick<Now, "views" | "run"> & { readonly from: PageCursor } {
    const { statements } = this.#context;
    const key = { threadId, epoch, ...(runId !== undefined && { runId }) };
    const id = findStoredRun(statements, key);
    if (id === undefined) {
      const views = { before: null, end: 0 };
      return { run: null, views, from: { afterId: 0, chunk: 0, upToId: 0 } };
    }
    const before = statements.rowBeforeLast.get(threadId, id, 1) ?? null;
    const [row, next] = statements.runsAfter.all(threadId, id - 1, 2);
    const previous =
      before === null ? undefined : statements.runsAfter.get(threadId, before - 1, 1);
    const refOf = (other: typeof row) => (other === undefined ? null : refOfRow(other));
    const run: RunDetails | null =
      row === undefined
        ? null
        : {
            ...summaryOfRow(row),
            tokens: tokensOfRow(row),
            previous: refOf(previous),
            next: refOf(next),
          };
    const from = { afterId: before ?? 0, chunk: 0, upToId: id };
    return { run, views: { before, end: id }, from };
  }

  #cutRow({ id, events }: StoredRunRow, forReplay: boolean): CutRow {
    if (events !== null && isShownWhole(events, forReplay)) {
      return { chunks: [events], trimmed: false };
    }
    const name = nameOf(id, forReplay);
    const known = this.#cutRows.get(name);
    if (known !== undefined) return known;
    // The row may have been purged since the first page. Then it counts as a run without events.
    const row = this.#context.statements.eventsOfRun.get(id);
    const cut = row === undefined ? { chunks: ["[]"], trimmed: false } : this.#cut(row, forReplay);
    this.#cutRows.set(name, cut);
    const [oldest = name] = this.#cutRows.keys();
    if (this.#cutRows.size > CUT_ROWS) this.#cutRows.delete(oldest);
    return cut;
  }

  #cut({ events, shared_events }: StoredEventsRow, forReplay: boolean): CutRow {
    const row = { events, shared_events: placesJson(shared_events) };
    return cutRow(row, forReplay, this.#values.readSpan);
  }
}

const refOfRow = ({ epoch, run_id: runId }: RunRow) => ({ epoch: epoch ?? VERSION_1_EPOCH, runId });

const nameOf = (id: number, forReplay: boolean) => `${id} ${forReplay}`;
