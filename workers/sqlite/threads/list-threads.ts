import type { Database, Statement } from "better-sqlite3";
import type {
  ListThreadsMessage,
  ListThreadsRequest,
  StoredThread,
  ThreadPlace,
} from "../../../src/protocol/thread-messages.ts";
import { wordsOfSearch } from "../../../src/runs/search-words.ts";
import { RANGE_OF_ROW } from "./search-rows.ts";

/**
 * A filter that at most this many threads pass drives the search: all its threads are read, and sorted.
 * Otherwise the threads are passed through in the order of the list, until the page is full.
 */
const MAX_DRIVING = 2000;

/** Behind no thread: the first page begins here. */
const FIRST: ThreadPlace = { at: Number.MAX_SAFE_INTEGER, threadId: "" };

interface PlaceRow {
  readonly thread_id: string;
  readonly at: number;
}

/** A filter by a table besides `threads`. */
interface Filter {
  /** SQL of the ids of the threads that pass. */
  readonly threads: string;
  /** SQL that tells whether the thread `t` passes. */
  readonly passes: string;
  /** SQL of a row for each thread that passes, or more. */
  readonly rows: string;
  readonly params: readonly string[];
}

/** Lists threads, page by page. */
export class ThreadLists {
  readonly #db: Database;
  readonly #summaryOf: (threadId: string) => StoredThread | null;
  /** By their SQL. There are few forms of a query. */
  readonly #statements = new Map<string, Statement<unknown[], PlaceRow>>();

  constructor(db: Database, summaryOf: (threadId: string) => StoredThread | null) {
    this.#db = db;
    this.#summaryOf = summaryOf;
  }

  list(request: ListThreadsRequest): ListThreadsMessage {
    // In one transaction: a thread that is changed meanwhile would be of no moment.
    return this.#db.transaction(() => this.#list(request))();
  }

  #list(request: ListThreadsRequest): ListThreadsMessage {
    const { limit, after } = request;
    const filters = filtersOf(request);
    const driving = this.#drivingOf(filters);
    const threads: StoredThread[] = [];
    let last = after ?? FIRST;
    for (;;) {
      const wanted = limit - threads.length + 1;
      const rows = this.#placesBehind(last, request, { filters, driving }, wanted);
      for (const { thread_id: threadId, at } of rows) {
        if (threads.length === limit) return { threads, next: last };
        // Null: the thread is held by a dead process, and no run of it is stored.
        const thread = this.#summaryOf(threadId);
        if (thread !== null) threads.push(thread);
        last = { at, threadId };
      }
      if (rows.length < wanted) return { threads, next: null };
    }
  }

  /** The rarest filter, if few threads pass it. */
  #drivingOf(filters: readonly Filter[]): Filter | null {
    let driving: Filter | null = null;
    let fewest = MAX_DRIVING + 1;
    for (const filter of filters) {
      const sql = `SELECT '' AS thread_id, count(*) AS at FROM (${filter.rows} LIMIT ?)`;
      const count = this.#prepared(sql).get(...filter.params, fewest)?.at ?? 0;
      if (count < fewest) {
        fewest = count;
        driving = filter;
      }
    }
    return driving;
  }

  #placesBehind(
    place: ThreadPlace,
    { query, scope }: ListThreadsRequest,
    { filters, driving }: { readonly filters: readonly Filter[]; readonly driving: Filter | null },
    limit: number,
  ): PlaceRow[] {
    const { agentId, archived, order = "updated" } = query;
    const at = order === "updated" ? "updated_at" : "created_at";
    const conditions = [
      `(t.${at}, t.thread_id) < (?, ?)`,
      `(EXISTS (SELECT 1 FROM agent_runs r WHERE r.thread_id = t.thread_id)
        OR EXISTS (SELECT 1 FROM run_state s WHERE s.thread_id = t.thread_id AND s.is_running = 1))`,
    ];
    const params: unknown[] = [place.at, place.threadId];
    if (scope !== "every") {
      conditions.push("t.resource_id IS ?");
      params.push(scope.resourceId);
    }
    if (agentId !== undefined) {
      conditions.push("t.agent_id = ?");
      params.push(agentId);
    }
    for (const filter of filters) {
      if (filter === driving) continue;
      conditions.push(filter.passes);
      params.push(...filter.params);
    }
    const columns = `t.thread_id, t.${at} AS at`;
    if (driving !== null) {
      if (archived !== undefined) conditions.push(`t.archived = ${archived ? 1 : 0}`);
      const sql = `SELECT ${columns} FROM (${driving.threads}) d
        CROSS JOIN threads t ON t.thread_id = d.thread_id
        WHERE ${conditions.join(" AND ")} ORDER BY at DESC, t.thread_id DESC LIMIT ?`;
      return this.#prepared(sql).all(...driving.params, ...params, limit);
    }
    // Archived threads and others each have their part of the index. SQLite merges both.
    const parts = archived === undefined ? [0, 1] : [archived ? 1 : 0];
    const index = `${scope === "every" ? "idx_all_threads" : "idx_threads"}_${order}`;
    const selects = parts.map(
      (part) => `SELECT ${columns} FROM threads t INDEXED BY ${index}
        WHERE t.archived = ${part} AND ${conditions.join(" AND ")}`,
    );
    const sql = `${selects.join(" UNION ALL ")} ORDER BY 2 DESC, 1 DESC LIMIT ?`;
    return this.#prepared(sql).all(...parts.flatMap(() => params), limit);
  }

  #prepared(sql: string): Statement<unknown[], PlaceRow> {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const prepared = this.#db.prepare<unknown[], PlaceRow>(sql);
    this.#statements.set(sql, prepared);
    return prepared;
  }
}

function filtersOf({ query, metadata }: ListThreadsRequest): Filter[] {
  const byWord = wordsOfSearch(query.search ?? "").map((word): Filter => {
    const rows = "SELECT rowid FROM thread_search WHERE thread_search MATCH ?";
    // The plus has SQLite make a set of the ranges once, and look each thread up in it.
    const ranges = `SELECT ${RANGE_OF_ROW} FROM thread_search WHERE thread_search MATCH ?`;
    return {
      threads: `SELECT DISTINCT thread_id FROM search_ranges WHERE range IN (${ranges})`,
      passes: `EXISTS (SELECT 1 FROM search_ranges r
        WHERE r.thread_id = t.thread_id AND +r.range IN (${ranges}))`,
      rows,
      params: [`"${word}"*`],
    };
  });
  const byField = metadata.map((field): Filter => {
    const threads = "SELECT thread_id FROM thread_metadata WHERE key = ? AND value = ?";
    return {
      threads,
      passes: `EXISTS (${threads} AND thread_metadata.thread_id = t.thread_id)`,
      rows: threads,
      params: field,
    };
  });
  return [...byWord, ...byField];
}
