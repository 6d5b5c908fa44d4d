import type { Span } from "../../events/shared/pieces.ts";
import type { StoredEventsRow } from "../../events/shared/places.ts";
import { spansIn } from "../../events/shared/span-texts.ts";
import { UNREADABLE } from "../../events/shared/stored-values.ts";
import type { Chunk } from "../../events/shared/thread-values.ts";
import type { CutRow } from "../../protocol/compactor-messages.ts";
import type {
  FollowRequest,
  HistoryPageMessage,
  LookMessage,
  LookRequest,
  PageRequest,
  RunningMessage,
  RunningRequest,
} from "../../protocol/messages.ts";
import { keyOf, type RunKey } from "../../protocol/run-key.ts";
import { isVisible, type Scope } from "../../protocol/scope.ts";
import type { RunDetails, RunRef } from "../../protocol/threads.ts";
import { tellFollower } from "../../runs/follow.ts";
import { fillPage, type HistoryRow, PAGE_LENGTH } from "../../runs/history-page.ts";
import { isReplayed, isShownWhole } from "../../runs/history-row.ts";
import { liveRunOf, threadNow } from "../../runs/holder.ts";
import { endOfTail, summaryOf } from "../../runs/thread-facts.ts";
import { bigintArray, textArray } from "./binary-arrays.ts";
import type { Compactor } from "./compactor.ts";
import type { Connection } from "./connection.ts";
import { keyValues } from "./row-writes.ts";
import type { Statement, Statements, ThreadColumns } from "./statements.ts";
import { fromStored, toStored } from "./stored-ids.ts";
import { holderOf, isHidden, type ThreadRow, threadRowOf } from "./thread-row.ts";
import { type ListedRunColumns, LONG_TAIL } from "./threads/thread-statements.ts";
import { storedRunOf } from "./threads/thread-summaries.ts";
import { readChunks } from "./values/chunks.ts";

/** Runs that one page has at most. */
const PAGE_RUNS = 100;
/** How many long runs are kept as chunks for the pages that follow. */
const CUT_RUNS = 4;
/** Segments, and bytes of them, that one look reads at most. */
const LOOK_SEGMENTS = 500;
const LOOK_BYTES = 1024 * 1024;

export interface ReadsOptions {
  readonly connection: Connection;
  readonly statements: Statements;
  readonly instanceId: string;
  readonly isAlive: (instanceId: string) => boolean;
  /** Reads the hosts again when the owner of a thread would count as dead: it may have come, or come back. */
  readonly expectKnown: (instanceIds: readonly string[]) => Promise<void>;
  readonly compactor: Compactor;
}

interface PageRow {
  readonly epoch: number;
  readonly run_id: string;
  readonly finished_at: number;
  /** Null for a run that is longer than a page. */
  readonly events: string | null;
  readonly shared_events: string | null;
}

type RunRow = Pick<PageRow, "epoch" | "run_id">;

interface StoredRow extends StoredEventsRow {
  readonly thread_id: string;
  readonly epoch: number;
}

interface SegmentRow {
  readonly thread_id: string;
  readonly epoch: number;
  readonly seq: number;
  readonly events: string;
  readonly bytes: number;
}

interface ThreadInScope {
  readonly thread: ThreadRow | null;
  /** The epoch of its last stored run, or 0. */
  readonly lastRun: number;
  /** Whether it exists and the scope does not see it. */
  readonly isOthers: boolean;
}

const refOf = ({ epoch, run_id }: RunRow) => ({ epoch, runId: fromStored(run_id) });

const NO_EVENTS: CutRow = { chunks: ["[]"], trimmed: false };

/** The reads of a `PostgresBackend`. */
export class Reads {
  readonly #options: ReadsOptions;
  /** By run, the events of long runs in chunks. The oldest come first. */
  readonly #cutRuns = new Map<string, CutRow>();

  constructor(options: ReadsOptions) {
    this.#options = options;
  }

  async page(request: PageRequest): Promise<HistoryPageMessage> {
    const { statements, instanceId, isAlive } = this.#options;
    const { threadId, scope, cursor, forReplay } = request;
    const { thread, lastRun } = await this.#thread(threadId, scope);
    const begun = await this.#begin(request, lastRun);
    const { before, end, ...details } = begun;
    const now =
      cursor === null
        ? {
            ...threadNow(holderOf(thread, isAlive), thread?.epoch ?? 0, instanceId),
            views: { before, end },
            ...details,
          }
        : { live: null, endedUpTo: 0 };
    if (thread === null) return { segments: [], next: null, ...now };
    const from = cursor ?? { afterId: before ?? 0, chunk: 0, upToId: end };
    const { afterId, upToId } = from;
    const values = [toStored(threadId), afterId, upToId, PAGE_LENGTH, PAGE_RUNS];
    const found = await this.#query<PageRow>(statements.page, values);
    const { rows, trimmed } = await this.#cutRows(threadId, found, forReplay);
    const { segments, next } = fillPage(rows, from);
    const last = rows.at(-1)?.id ?? upToId;
    const rest = last < upToId ? { afterId: last, chunk: 0, upToId } : null;
    return { segments, next: next ?? rest, trimmed, ...now };
  }

  async running({ threadId, scope }: RunningRequest): Promise<RunningMessage> {
    const { instanceId, isAlive } = this.#options;
    const { thread, isOthers } = await this.#thread(threadId, scope);
    const isTold = thread !== null && thread.stop > 0;
    return { run: isTold ? null : liveRunOf(holderOf(thread, isAlive), instanceId), isOthers };
  }

  async look({ runs, threads }: LookRequest): Promise<LookMessage> {
    const { statements, isAlive } = this.#options;
    const ids = [...new Set([...runs.map(({ threadId }) => threadId), ...threads])];
    // The states first: a run that is over by then has all its segments in the journal.
    const columns = await this.#query<ThreadColumns>(statements.statesOf, [
      textArray(ids.map(toStored)),
    ]);
    const states = new Map(columns.map(threadRowOf).map((row) => [row.threadId, row]));
    await this.#expectOwnersKnown([...states.values()]);
    const segments = runs.length === 0 ? [] : await this.#segmentsBehind(runs);
    const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
    const more = segments.length >= LOOK_SEGMENTS || bytes > LOOK_BYTES;
    const byRun = Map.groupBy(segments, ({ thread_id, epoch }) =>
      keyOf({ threadId: fromStored(thread_id), epoch }),
    );
    const isRunning = ({ threadId, epoch }: RunKey) => {
      const state = states.get(threadId);
      return state?.epoch === epoch && state.claim !== null;
    };
    const stored = await this.#storedEvents(runs.filter((run) => !run.begun && !isRunning(run)));
    const told = runs.map((run) => {
      const found = byRun.get(keyOf(run)) ?? [];
      const news = {
        segments: found.map(({ events }) => events),
        afterId: (found.at(-1)?.seq ?? run.afterId - 1) + 1,
        more,
        running: isRunning(run),
      };
      return tellFollower(run, news, () => stored.get(keyOf(run)) ?? null);
    });
    const held = threads.map((id) => {
      const state = states.get(id);
      const isFree = state === undefined || !isHidden(state);
      return !isFree || holderOf(state, isAlive)?.isAlive === true;
    });
    return { runs: told, held };
  }

  #segmentsBehind(runs: readonly FollowRequest[]): Promise<SegmentRow[]> {
    return this.#query<SegmentRow>(this.#options.statements.segmentsBehind, [
      ...keyValues(runs),
      bigintArray(runs.map(({ afterId }) => afterId)),
      LOOK_SEGMENTS,
      LOOK_BYTES,
    ]);
  }

  /** By run, the events of those that are stored. */
  async #storedEvents(runs: readonly RunKey[]): Promise<Map<string, string>> {
    const { connection, statements, compactor } = this.#options;
    const found = new Map<string, string>();
    if (runs.length === 0) return found;
    const { rows, chunks } = await connection.use(async (send) => {
      const { rows: stored } = await send(statements.eventsOfRuns, keyValues(runs));
      const asked = (stored as StoredRow[]).map(({ thread_id, epoch, shared_events }) => ({
        ...{ threadId: fromStored(thread_id), epoch, spans: spansIn(shared_events) },
      }));
      return { rows: stored as StoredRow[], chunks: await readChunks(send, statements, asked) };
    });
    for (const row of rows) {
      const run = { threadId: fromStored(row.thread_id), epoch: row.epoch };
      const events = await compactor.read({ run: row, chunks: chunks.get(run.threadId) ?? [] });
      found.set(keyOf(run), events);
    }
    return found;
  }

  /** The epochs between which the history is, and with `PageRequest.run` the run. Zeros with a cursor. */
  async #begin(
    { threadId, cursor, runs, run }: PageRequest,
    lastRun: number,
  ): Promise<{
    readonly before: number | null;
    readonly end: number;
    readonly run?: RunDetails | null;
  }> {
    if (cursor !== null) return { before: null, end: 0 };
    if (run === null) {
      const before = await this.#runBefore(threadId, runs, lastRun);
      return { before: before?.epoch ?? null, end: lastRun };
    }
    const details = await this.#detailsOf(threadId, run, lastRun);
    if (details === null) return { before: null, end: 0, run: null };
    return { before: details.previous?.epoch ?? null, end: details.epoch, run: details };
  }

  /** `lastRun` is the last run of the thread that is meant. Later ones may be of another thread of the id. */
  async #detailsOf(
    threadId: string,
    { epoch, runId }: RunRef,
    lastRun: number,
  ): Promise<RunDetails | null> {
    if (epoch > lastRun) return null;
    const { runsAfter } = this.#options.statements;
    const values = [toStored(threadId), epoch - 1, 2, LONG_TAIL];
    const rows = await this.#query<ListedRunColumns>(runsAfter, values);
    const [row, next] = rows.filter((found) => found.epoch <= lastRun);
    if (row === undefined || row.epoch !== epoch) return null;
    if (runId !== undefined && fromStored(row.run_id) !== runId) return null;
    const before = await this.#runBefore(threadId, 0, epoch - 1);
    const end = endOfTail(row.tail);
    return {
      ...summaryOf(storedRunOf(row), end),
      tokens: end.tokens,
      previous: before === null ? null : refOf(before),
      next: next === undefined ? null : refOf(next),
    };
  }

  /** The run before the last `runs` up to `lastRun`, or null if there is none. */
  async #runBefore(threadId: string, runs: number | null, lastRun: number): Promise<RunRow | null> {
    if (runs === null) return null;
    const { runBeforeLast } = this.#options.statements;
    const values = [toStored(threadId), lastRun, runs];
    const [before] = await this.#query<RunRow>(runBeforeLast, values);
    return before ?? null;
  }

  /** The thread is null if it is unknown, or if `scope` does not see it. */
  async #thread(threadId: string, scope: Scope): Promise<ThreadInScope> {
    type Row = ThreadColumns & { readonly last_run: number | null };
    const { statements } = this.#options;
    const [row] = await this.#query<Row>(statements.threadNow, [toStored(threadId)]);
    if (row === undefined) return { thread: null, lastRun: 0, isOthers: false };
    const thread = threadRowOf(row);
    const { resourceId } = thread;
    if (isHidden(thread)) {
      const isOthers = !isVisible(scope, resourceId ?? null);
      return { thread: null, lastRun: 0, isOthers };
    }
    if (!isVisible(scope, resourceId ?? null)) {
      return { thread: null, lastRun: 0, isOthers: resourceId !== undefined };
    }
    await this.#expectOwnersKnown([thread]);
    return { thread, lastRun: row.last_run ?? 0, isOthers: false };
  }

  async #expectOwnersKnown(threads: readonly ThreadRow[]): Promise<void> {
    const owners = threads.flatMap(({ claim }) => claim?.ownerId ?? []);
    if (owners.length > 0) await this.#options.expectKnown(owners);
  }

  /** The first of these rows, as many as fill a page. */
  async #cutRows(
    threadId: string,
    found: readonly PageRow[],
    forReplay: boolean,
  ): Promise<{ readonly rows: readonly HistoryRow[]; readonly trimmed: boolean }> {
    const slots = forReplay ? isReplayed : undefined;
    const page: (PageRow & { readonly spans: readonly Span[] })[] = [];
    let length = 0;
    for (const row of found) {
      const spans = spansIn(row.shared_events, slots);
      page.push({ ...row, spans });
      length += row.events?.length ?? PAGE_LENGTH;
      for (const span of spans) length += span.length;
      if (length >= PAGE_LENGTH) break;
    }
    const { connection, statements } = this.#options;
    const asked = page.map(({ epoch, spans }) => ({ threadId, epoch, spans }));
    const read = await connection.use((send) => readChunks(send, statements, asked));
    const chunks = read.get(threadId) ?? [];
    const rows: HistoryRow[] = [];
    let trimmed = false;
    for (const row of page) {
      const cut = await this.#cut(threadId, row, chunks, forReplay);
      trimmed ||= cut.trimmed;
      rows.push({ id: row.epoch, runId: fromStored(row.run_id), chunks: cut.chunks });
    }
    return { rows, trimmed };
  }

  async #cut(
    threadId: string,
    { epoch, run_id, finished_at, events, shared_events }: PageRow,
    chunks: readonly Chunk[],
    forReplay: boolean,
  ): Promise<CutRow> {
    if (events !== null && shared_events === null && isShownWhole(events, forReplay)) {
      return { chunks: [events], trimmed: false };
    }
    const run = { threadId, epoch };
    // After a failover that lost a run, its epoch comes again.
    const key = `${forReplay} ${finished_at} ${keyOf(run)} ${run_id}`;
    const known = this.#cutRuns.get(key);
    if (known !== undefined) return known;
    const rest = events ?? (await this.#restOf(run));
    const row = { events: rest ?? "[]", shared_events: rest === null ? null : shared_events };
    const cut = await this.#options.compactor.cut({ run: row, forReplay, chunks });
    // The run may have been purged since the row was read. Then it counts as a run without events.
    if (cut.chunks[0] === UNREADABLE && (await this.#restOf(run)) === null) return NO_EVENTS;
    this.#cutRuns.set(key, cut);
    const [oldest = key] = this.#cutRuns.keys();
    if (this.#cutRuns.size > CUT_RUNS) this.#cutRuns.delete(oldest);
    return cut;
  }

  /** The events of a run without their values, or null for a run that is not stored any more. */
  async #restOf(run: RunKey): Promise<string | null> {
    const { eventsOfRuns } = this.#options.statements;
    const [row] = await this.#query<StoredRow>(eventsOfRuns, keyValues([run]));
    return row?.events ?? null;
  }

  async #query<Row>(statement: Statement, values: readonly unknown[]): Promise<Row[]> {
    const { rows } = await this.#options.connection.use((send) => send(statement, values));
    return rows as Row[];
  }
}
