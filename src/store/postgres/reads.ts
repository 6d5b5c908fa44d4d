import { chunksOf } from "../../events/json/chunks.ts";
import type {
  FollowMessage,
  FollowRequest,
  HistoryPageMessage,
  HoldingRun,
  LookMessage,
  LookRequest,
  PageCursor,
  PageRequest,
  PageSegment,
  RunningMessage,
  RunningRequest,
} from "../../protocol/messages.ts";
import { keyOf } from "../../protocol/run-key.ts";
import { isVisible, type Scope } from "../../protocol/scope.ts";
import { bigintArray, textArray } from "./binary-arrays.ts";
import type { Connection, Send } from "./connection.ts";
import type { Statements, ThreadColumns } from "./statements.ts";
import { fromStored, toStored } from "./stored-ids.ts";
import { type ThreadRow, threadRowOf } from "./thread-row.ts";

/** UTF-16 units of JSON that a page holds at most, unless one event alone is longer. */
const PAGE_LENGTH = 64 * 1024;
/** Runs that one statement reads at most. */
const PAGE_RUNS = 100;
/** How many long runs are kept as chunks for the pages that follow. */
const CUT_RUNS = 4;
/** Segments that one look reads at most. */
const LOOK_SEGMENTS = 500;

export interface ReadsOptions {
  readonly connection: Connection;
  readonly statements: Statements;
  readonly instanceId: string;
  readonly isAlive: (instanceId: string) => boolean;
  /** Reads the hosts again when the owner of a thread is not known yet. */
  readonly expectKnown: (instanceIds: readonly string[]) => Promise<void>;
}

interface PageRow {
  readonly epoch: number;
  readonly run_id: string;
  readonly events: string | null;
}

const NOTHING: HistoryPageMessage = { segments: [], next: null, live: null, endedUpTo: 0 };

/** The reads of a `PostgresBackend`. */
export class Reads {
  readonly #options: ReadsOptions;
  /** By run, the events of long runs in chunks. The oldest come first. */
  readonly #cutRuns = new Map<string, readonly string[]>();

  constructor(options: ReadsOptions) {
    this.#options = options;
  }

  async page({ threadId, scope, cursor, runs }: PageRequest): Promise<HistoryPageMessage> {
    const { connection, statements } = this.#options;
    const { thread, lastRun } = await this.#threadNow(threadId);
    if (!isSeen(thread, scope)) return NOTHING;
    const live = this.#liveRun(thread);
    const endedUpTo = thread === null ? 0 : thread.epoch - (thread.holder === null ? 0 : 1);
    const now = cursor === null ? { live, endedUpTo } : { live: null, endedUpTo: 0 };
    const from = cursor ?? (await this.#begin(threadId, runs, lastRun));
    const segments: PageSegment[] = [];
    let { afterId, chunk } = from;
    let length = 0;
    for (;;) {
      const rows = await connection.use(async (send) => {
        const values = [toStored(threadId), afterId, from.upToId, PAGE_LENGTH, PAGE_RUNS];
        return (await send(statements.page, values)).rows as PageRow[];
      });
      for (const row of rows) {
        const runId = fromStored(row.run_id);
        const chunks = await this.#chunksOf(threadId, row);
        for (; chunk < chunks.length; chunk++) {
          const events = chunks[chunk] ?? "[]";
          if (length > 0 && length + events.length > PAGE_LENGTH) {
            return { segments, next: { afterId, chunk, upToId: from.upToId }, ...now };
          }
          length += events.length;
          const last = chunk === chunks.length - 1;
          segments.push({ runId, first: chunk === 0, last, events });
        }
        afterId = row.epoch;
        chunk = 0;
      }
      if (rows.length < PAGE_RUNS) return { segments, next: null, ...now };
    }
  }

  async running({ threadId, scope }: RunningRequest): Promise<RunningMessage> {
    const { thread } = await this.#threadNow(threadId);
    const isTold = thread !== null && thread.stop > 0;
    return { run: isSeen(thread, scope) && !isTold ? this.#liveRun(thread) : null };
  }

  async look({ runs, threads }: LookRequest): Promise<LookMessage> {
    const { connection, statements } = this.#options;
    const ids = [...new Set([...runs.map(({ threadId }) => threadId), ...threads])];
    const found = await connection.use(async (send) => {
      // The states first: a run that is over by then has all its segments in the journal.
      const states = await send(statements.statesOf, [textArray(ids.map(toStored))]);
      const segments = runs.length === 0 ? null : await this.#segmentsOf(send, runs);
      return { states: states.rows as ThreadColumns[], segments };
    });
    const states = new Map<string, ThreadRow>();
    for (const row of found.states.map(threadRowOf)) states.set(row.threadId, row);
    await this.#expectOwnersKnown([...states.values()]);
    const isLimited = (found.segments?.length ?? 0) >= LOOK_SEGMENTS;
    const news = new Map<string, { seq: number; events: string }[]>();
    for (const { thread_id, epoch, seq, events } of found.segments ?? []) {
      const key = keyOf({ threadId: fromStored(thread_id), epoch });
      const known = news.get(key) ?? [];
      known.push({ seq, events });
      news.set(key, known);
    }
    const told: FollowMessage[] = [];
    for (const run of runs) {
      const segments = news.get(keyOf(run)) ?? [];
      const state = states.get(run.threadId);
      const running = state?.epoch === run.epoch && state.holder !== null;
      const last = segments.at(-1)?.seq;
      const afterId = last === undefined ? run.afterId : last + 1;
      const stored = running || run.begun ? null : await this.#storedEvents(run);
      told.push(
        stored === null
          ? { segments: segments.map(({ events }) => events), afterId, more: isLimited, running, stored }
          : { segments: [], afterId, more: false, running, stored },
      );
    }
    const held = threads.map((id) => this.#liveRun(states.get(id) ?? null) !== null);
    return { runs: told, held };
  }

  async #segmentsOf(send: Send, runs: readonly FollowRequest[]) {
    const { rows } = await send(this.#options.statements.segmentsBehind, [
      textArray(runs.map(({ threadId }) => toStored(threadId))),
      bigintArray(runs.map(({ epoch }) => epoch)),
      bigintArray(runs.map(({ afterId }) => afterId)),
      LOOK_SEGMENTS,
    ]);
    return rows as { thread_id: string; epoch: number; seq: number; events: string }[];
  }

  async #storedEvents({ threadId, epoch }: FollowRequest): Promise<string | null> {
    const { connection, statements } = this.#options;
    const { rows } = await connection.use((send) =>
      send(statements.eventsOfRun, [toStored(threadId), epoch]),
    );
    return rows[0]?.events ?? null;
  }

  async #begin(threadId: string, runs: number | null, lastRun: number): Promise<PageCursor> {
    const { connection, statements } = this.#options;
    if (runs === null) return { afterId: 0, chunk: 0, upToId: lastRun };
    const { rows } = await connection.use((send) =>
      send(statements.runBeforeLast, [toStored(threadId), runs]),
    );
    return { afterId: rows[0]?.epoch ?? 0, chunk: 0, upToId: lastRun };
  }

  async #threadNow(threadId: string): Promise<{ thread: ThreadRow | null; lastRun: number }> {
    const { connection, statements } = this.#options;
    const { rows } = await connection.use((send) =>
      send(statements.threadNow, [toStored(threadId)]),
    );
    const [row] = rows as (ThreadColumns & { readonly last_run: number | null })[];
    if (row === undefined) return { thread: null, lastRun: 0 };
    const thread = threadRowOf(row);
    await this.#expectOwnersKnown([thread]);
    return { thread, lastRun: row.last_run ?? 0 };
  }

  async #expectOwnersKnown(threads: readonly ThreadRow[]): Promise<void> {
    const owners = threads.flatMap(({ holder }) => (holder === null ? [] : [holder.ownerId]));
    if (owners.length > 0) await this.#options.expectKnown(owners);
  }

  #liveRun(thread: ThreadRow | null): HoldingRun | null {
    const { instanceId, isAlive } = this.#options;
    if (thread === null || thread.holder === null || !isAlive(thread.holder.ownerId)) return null;
    const { runId, ownerId, claimNumber } = thread.holder;
    const ownClaim = ownerId === instanceId ? claimNumber : null;
    return { runId, epoch: thread.epoch, ownClaim };
  }

  async #chunksOf(threadId: string, { epoch, events }: PageRow): Promise<readonly string[]> {
    if (events !== null) return [events];
    const key = keyOf({ threadId, epoch });
    const known = this.#cutRuns.get(key);
    if (known !== undefined) return known;
    const { connection, statements } = this.#options;
    const { rows } = await connection.use((send) =>
      send(statements.eventsOfRun, [toStored(threadId), epoch]),
    );
    // The run may have been purged since the first page. Then it counts as a run without events.
    const json = (rows[0]?.events as string | undefined) ?? "[]";
    const chunks = cut(json);
    this.#cutRuns.set(key, chunks);
    const [oldest = key] = this.#cutRuns.keys();
    if (this.#cutRuns.size > CUT_RUNS) this.#cutRuns.delete(oldest);
    return chunks;
  }
}

/** Text that is no JSON array stays whole. */
function cut(json: string): readonly string[] {
  try {
    const events: unknown = JSON.parse(json);
    if (!Array.isArray(events)) return [json];
    return chunksOf(
      events.map((event) => JSON.stringify(event)),
      PAGE_LENGTH,
    );
  } catch {
    return [json];
  }
}

function isSeen(thread: ThreadRow | null, scope: Scope): boolean {
  return isVisible(scope, thread?.resourceId ?? null);
}
