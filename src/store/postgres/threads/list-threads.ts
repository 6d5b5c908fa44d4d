import type {
  ListThreadsMessage,
  ListThreadsRequest,
  StoredThread,
  ThreadPlace,
} from "../../../protocol/thread-messages.ts";
import { wordsOfSearch } from "../../../runs/search-words.ts";
import { textArray } from "../binary-arrays.ts";
import type { Statement } from "../statement.ts";
import { fromStored, toStored } from "../stored-ids.ts";
import { toFieldKey, toPrefixQuery, toResourceKey } from "./list-keys.ts";
import { readSummaries, type SummaryContext } from "./thread-summaries.ts";

/**
 * A filter that at most this many threads pass drives the search: all its threads are read, and sorted.
 * Otherwise the threads are passed through in the order of the list, until the page is full.
 */
const MAX_DRIVING = 2000;

/** Threads that a search looks at first: what is searched for is often in one of the latest. */
const NEAREST = 200;

/** Behind no thread: the first page begins here. */
const FIRST: ThreadPlace = { at: Number.MAX_SAFE_INTEGER, threadId: "" };

interface PlaceRow {
  readonly thread_id: string;
  readonly at: number;
  /** Whether the thread passes the filters, where all threads are asked for. */
  readonly passes?: boolean;
}

/** A filter by a table besides `thread_list`. */
interface Filter {
  /** The table. Its column `thread_id` names the threads that pass, some of them perhaps several times. */
  readonly table: string;
  /** SQL of the condition on a row of the table, with the parameter's place. */
  readonly condition: (place: string) => string;
  readonly value: unknown;
  /** Counts the rows up to a limit. */
  readonly count: Statement;
}

interface Search {
  readonly filters: readonly Filter[];
  /** What drives the search. Null for the list itself. Undefined until that has to be known. */
  driving: Filter | null | undefined;
}

/** Gives each value of a statement its place. */
class Values {
  readonly list: unknown[] = [];

  add(value: unknown): string {
    this.list.push(value);
    return `$${this.list.length}`;
  }
}

/** Lists threads, page by page. */
export class ThreadLists {
  readonly #context: SummaryContext;
  readonly #schema: string;

  constructor(context: SummaryContext, schema: string) {
    this.#context = context;
    this.#schema = schema;
  }

  async list(request: ListThreadsRequest): Promise<ListThreadsMessage> {
    const { limit, after, scope } = request;
    const search: Search = { filters: this.#filtersOf(request), driving: undefined };
    const threads: StoredThread[] = [];
    let last = after ?? FIRST;
    for (;;) {
      const wanted = limit - threads.length + 1;
      const places = await this.#placesBehind(last, request, search, wanted);
      const found = await readSummaries(
        this.#context,
        places.map(({ threadId }) => threadId),
        scope,
      );
      for (const place of places) {
        if (threads.length === limit) return { threads, next: last };
        // Missing: the thread is held by a dead instance and no run of it is stored, or it was removed.
        const thread = found.get(place.threadId);
        if (thread !== undefined) threads.push(thread);
        last = place;
      }
      if (places.length < wanted) return { threads, next: null };
    }
  }

  #filtersOf({ query, metadata }: ListThreadsRequest): Filter[] {
    const { countWord, countFields } = this.#context.statements;
    const filters = wordsOfSearch(query.search ?? "").map(
      (word): Filter => ({
        table: `${this.#schema}.thread_words`,
        condition: (place) => `words @@ ${place}::tsquery`,
        value: toPrefixQuery(word),
        count: countWord,
      }),
    );
    if (metadata.length > 0) {
      filters.push({
        table: `${this.#schema}.thread_metadata`,
        condition: (place) => `fields @> ${place}::text[]`,
        value: textArray(metadata.map(toFieldKey)),
        count: countFields,
      });
    }
    return filters;
  }

  async #placesBehind(
    place: ThreadPlace,
    request: ListThreadsRequest,
    search: Search,
    limit: number,
  ): Promise<ThreadPlace[]> {
    const { filters } = search;
    const values = new Values();
    if (filters.length === 0) {
      const text = this.#throughList(place, request, [], limit, values);
      // There are few forms of a list, and many of a search.
      const rows = await this.#query({ name: `dar_${nameOf(request)}`, text }, values);
      return rows.map(placeOf);
    }
    const near = await this.#nearest(place, request, filters);
    const passing = near.filter(({ passes }) => passes === true).slice(0, limit);
    if (near.length < NEAREST || passing.length === limit) return passing.map(placeOf);
    if (search.driving === undefined) search.driving = await this.#drivingOf(request, filters);
    const { driving } = search;
    const text =
      driving === null
        ? this.#throughList(place, request, filters, limit, values)
        : this.#fromFilter(place, request, filters, driving, limit, values);
    const rows = await this.#query({ name: "", text }, values, { isSorted: driving !== null });
    return rows.map(placeOf);
  }

  /** The next threads of the list, and which of them pass. */
  #nearest(
    place: ThreadPlace,
    request: ListThreadsRequest,
    filters: readonly Filter[],
  ): Promise<PlaceRow[]> {
    const values = new Values();
    const all = this.#throughList(place, request, [], NEAREST, values);
    const passes = filters.map((filter) => passesSql(filter, values)).join(" AND ");
    const text = `SELECT l.thread_id, l.at, ${passes} AS passes FROM (${all}) AS l
      ORDER BY l.at DESC, l.thread_id DESC`;
    return this.#query({ name: "", text }, values);
  }

  /** The rarest filter, if few threads pass it, and fewer than there are of the resource. */
  async #drivingOf(
    { scope }: ListThreadsRequest,
    filters: readonly Filter[],
  ): Promise<Filter | null> {
    const { connection, statements } = this.#context;
    const limit = MAX_DRIVING + 1;
    const resource = scope === "every" ? null : toResourceKey(scope.resourceId);
    const [ofResource, ...counts] = await connection.use(async (send) => {
      const { begin, bounded, countResource, commit } = statements;
      const [, , ...counted] = await Promise.all([
        send(begin),
        send(bounded),
        resource === null ? null : send(countResource, [resource, limit]),
        ...filters.map(({ count, value }) => send(count, [value, limit])),
        send(commit),
      ]);
      return counted.map((result) => Number(result?.rows[0]?.count ?? limit));
    });
    let fewest = ofResource ?? limit;
    let driving: Filter | null = null;
    for (const [at, filter] of filters.entries()) {
      const count = counts[at] ?? limit;
      if (count >= fewest) continue;
      fewest = count;
      driving = filter;
    }
    return driving;
  }

  async #query(
    statement: Statement,
    values: Values,
    { isSorted = false } = {},
  ): Promise<PlaceRow[]> {
    const { connection, statements } = this.#context;
    const found = await connection.use(async (send) => {
      const [, , , rows] = await Promise.all([
        send(statements.begin),
        send(statements.bounded),
        isSorted ? null : send(statements.inOrder),
        send(statement, values.list),
        send(statements.commit),
      ]);
      return rows;
    });
    return found.rows as PlaceRow[];
  }

  /** The threads in the order of the list. */
  #throughList(
    place: ThreadPlace,
    request: ListThreadsRequest,
    filters: readonly Filter[],
    limit: number,
    values: Values,
  ): string {
    const { archived } = request.query;
    const at = columnOf(request);
    const conditions = this.#conditions(place, request, filters, values);
    const most = values.add(limit);
    // Archived threads and others each have their part of the index.
    const parts = archived === undefined ? [false, true] : [archived];
    const selects = parts.map(
      (part) => `(SELECT l.thread_id, l.${at} AS at FROM ${this.#schema}.thread_list AS l
        WHERE l.archived = ${part} AND ${conditions.join(" AND ")}
        ORDER BY l.${at} DESC, l.thread_id DESC LIMIT ${most})`,
    );
    return `SELECT thread_id, at FROM (${selects.join(" UNION ALL ")}) AS q
      ORDER BY at DESC, thread_id DESC LIMIT ${most}`;
  }

  /** All threads that pass a filter, sorted. */
  #fromFilter(
    place: ThreadPlace,
    request: ListThreadsRequest,
    filters: readonly Filter[],
    driving: Filter,
    limit: number,
    values: Values,
  ): string {
    const { archived } = request.query;
    const at = columnOf(request);
    const others = filters.filter((filter) => filter !== driving);
    const conditions = this.#conditions(place, request, others, values);
    if (archived !== undefined) conditions.push(`l.archived = ${archived}`);
    const condition = driving.condition(values.add(driving.value));
    return `SELECT l.thread_id, l.${at} AS at
      FROM (SELECT DISTINCT thread_id FROM ${driving.table} WHERE ${condition}) AS d
      JOIN ${this.#schema}.thread_list AS l ON l.thread_id = d.thread_id
      WHERE ${conditions.join(" AND ")}
      ORDER BY l.${at} DESC, l.thread_id DESC LIMIT ${values.add(limit)}`;
  }

  #conditions(
    { at, threadId }: ThreadPlace,
    request: ListThreadsRequest,
    filters: readonly Filter[],
    values: Values,
  ): string[] {
    const { query, scope } = request;
    const places = [values.add(at), values.add(toStored(threadId))];
    const conditions = [`(l.${columnOf(request)}, l.thread_id) < (${places.join(", ")})`];
    if (scope !== "every") {
      conditions.push(`l.resource_id = ${values.add(toResourceKey(scope.resourceId))}`);
    }
    if (query.agentId !== undefined) {
      const agent = values.add(toStored(query.agentId));
      // The first part is in the indexes.
      conditions.push(`left(l.agent_id, 100) = left(${agent}, 100)`, `l.agent_id = ${agent}`);
    }
    return [...conditions, ...filters.map((filter) => passesSql(filter, values))];
  }
}

/** Whether the thread `l` passes. OFFSET 0 and IS TRUE have the server look its rows up, and no others. */
function passesSql({ table, condition, value }: Filter, values: Values): string {
  return `EXISTS (SELECT 1 FROM ${table} AS f WHERE f.thread_id = l.thread_id
    AND (${condition(values.add(value))}) IS TRUE OFFSET 0)`;
}

function placeOf({ thread_id, at }: PlaceRow): ThreadPlace {
  return { threadId: fromStored(thread_id), at };
}

function columnOf({ query }: ListThreadsRequest): "updated_at" | "created_at" {
  return (query.order ?? "updated") === "updated" ? "updated_at" : "created_at";
}

function nameOf({ query, scope }: ListThreadsRequest): string {
  const { archived, agentId, order = "updated" } = query;
  const who = scope === "every" ? "all" : "own";
  return `list_${order}_${who}_${archived}_${agentId === undefined ? "any" : "agent"}`;
}
