import type { Database, Statement } from "better-sqlite3";
import type {
  ListThreadsMessage,
  ListThreadsRequest,
  StoredThread,
  ThreadPlace,
} from "../../../src/protocol/thread-messages.ts";
import { RANGE_OF_ROW } from "./search-rows.ts";
import { type CountedWord, queriesOf, type WordQueries, WordSearch } from "./word-search.ts";

/** A filter that at most this many threads pass drives the search, whatever else would be read. */
const FEW = 2000;

/** Threads, or rows of a word, that are counted at most. A filter that more threads pass drives no search. */
const MAX_COUNTED = 20_000;

/** Threads that are read at once at most, to find those with words that many threads have. */
const MAX_READ = 10_000;

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
  readonly params: readonly string[];
  /** SQL that tells whether the thread `t` passes. Null for a word: see `WordSearch`. */
  readonly passes: string | null;
  readonly word: WordQueries | null;
}

/**
 * The filters of a request, by what is done with them.
 *
 * With a driving filter, all threads that pass it are read, and sorted. Without one, the threads are read in the order of
 * the list until the page is full. Of words that are rarely in the same thread, that reads all threads of the file.
 */
interface Filters {
  readonly driving: Filter | null;
  readonly others: readonly Filter[];
  /** The words among the others. */
  readonly words: readonly CountedWord[];
}

/** Lists threads, page by page. */
export class ThreadLists {
  readonly #db: Database;
  readonly #summaryOf: (threadId: string) => StoredThread | null;
  readonly #words: WordSearch;
  readonly #lastRange: Statement<[], number | null>;
  /** By their SQL. There are few forms of a query. */
  readonly #statements = new Map<string, Statement<unknown[], PlaceRow>>();

  constructor(db: Database, summaryOf: (threadId: string) => StoredThread | null) {
    this.#db = db;
    this.#summaryOf = summaryOf;
    this.#words = new WordSearch(db);
    this.#lastRange = db.prepare<[], number | null>("SELECT max(range) FROM search_ranges").pluck();
  }

  list(request: ListThreadsRequest): ListThreadsMessage {
    // In one transaction: a thread that is changed meanwhile would be of no moment.
    return this.#db.transaction(() => this.#list(request))();
  }

  #list(request: ListThreadsRequest): ListThreadsMessage {
    const { limit, after } = request;
    const filters = this.#sorted(filtersOf(request), limit);
    const isDriven = filters.driving !== null;
    const driven = isDriven
      ? this.#placesBehind(after ?? FIRST, request, filters, MAX_COUNTED)
      : [];
    const threads: StoredThread[] = [];
    let last = after ?? FIRST;
    let behind = last;
    let wanted = limit + 1;
    for (;;) {
      const rows = isDriven
        ? driven.splice(0, wanted)
        : this.#placesBehind(behind, request, filters, wanted);
      const ids = rows.map(({ thread_id }) => thread_id);
      const passing = this.#words.having(filters.words, ids);
      for (const { thread_id: threadId, at } of rows) {
        behind = { at, threadId };
        if (!passing.has(threadId)) continue;
        if (threads.length === limit) return { threads, next: last };
        // Null: the thread is held by a dead process, and no run of it is stored.
        const thread = this.#summaryOf(threadId);
        if (thread !== null) threads.push(thread);
        last = behind;
      }
      if (rows.length < wanted) return { threads, next: null };
      // Few threads have the words: each look for a word costs the same for many threads as for one.
      wanted = Math.min(4 * wanted, MAX_READ);
    }
  }

  /** The rarest filter drives the search, if it passes fewer threads than would be read without it. */
  #sorted(filters: readonly Filter[], limit: number): Filters {
    const counted = filters.map((filter) => {
      const count = this.#count(filter, MAX_COUNTED);
      return { filter, count: count < MAX_COUNTED ? count : Number.POSITIVE_INFINITY };
    });
    const rarest = counted.toSorted((a, b) => a.count - b.count)[0];
    const drives = rarest !== undefined && this.#isWorthIt(rarest.count, counted, limit);
    const driving = drives ? rarest.filter : null;
    const others = counted.filter(({ filter }) => filter !== driving);
    const words = others.flatMap(({ filter: { word }, count }) =>
      word === null ? [] : { word, isRare: count < MAX_COUNTED },
    );
    return { driving, others: others.map(({ filter }) => filter), words };
  }

  /**
   * Whether fewer threads pass the rarest filter than are read, in the order of the list, to fill a page. The filters
   * are taken to be independent of each other, and the number of threads to be that of the ranges, which is higher.
   */
  #isWorthIt(
    rarest: number,
    filters: readonly { readonly count: number }[],
    limit: number,
  ): boolean {
    if (rarest <= FEW) return true;
    if (rarest === Number.POSITIVE_INFINITY) return false;
    const threads = this.#lastRange.get() ?? 1;
    const share = filters.reduce((all, { count }) => all * Math.min(1, count / threads), 1);
    return rarest < Math.min(threads, limit / share);
  }

  /** How many threads pass, or `atMost`. */
  #count({ word, threads, params }: Filter, atMost: number): number {
    if (word !== null) return this.#words.count(word, atMost);
    const sql = `SELECT '' AS thread_id, count(*) AS at FROM (${threads} LIMIT ?)`;
    return this.#prepared(sql).get(...params, atMost)?.at ?? 0;
  }

  #placesBehind(
    place: ThreadPlace,
    { query, scope }: ListThreadsRequest,
    { driving, others }: Filters,
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
    for (const { passes, params: own } of others) {
      if (passes === null) continue;
      conditions.push(passes);
      params.push(...own);
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
  const byWord = queriesOf(query.search ?? "").map((word): Filter => {
    const ranges = `SELECT ${RANGE_OF_ROW} FROM thread_search WHERE thread_search MATCH ?`;
    const threads = `SELECT DISTINCT thread_id FROM search_ranges WHERE range IN (${ranges})`;
    return { threads, params: [word.beginning], passes: null, word };
  });
  const byField = metadata.map((field): Filter => {
    const threads = "SELECT thread_id FROM thread_metadata WHERE key = ? AND value = ?";
    const passes = `EXISTS (${threads} AND thread_metadata.thread_id = t.thread_id)`;
    return { threads, params: field, passes, word: null };
  });
  return [...byWord, ...byField];
}
