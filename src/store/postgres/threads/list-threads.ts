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

/** The threads of a resource that has no more are passed through, whatever is searched for. */
const FEW_THREADS = 200;

/** Behind no thread: the first page begins here. */
const FIRST: ThreadPlace = { at: Number.MAX_SAFE_INTEGER, threadId: "" };

interface PlaceRow {
  readonly thread_id: string;
  readonly at: number;
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
    const filters = this.#filtersOf(request);
    const driving = await this.#drivingOf(request, filters);
    const threads: StoredThread[] = [];
    let last = after ?? FIRST;
    for (;;) {
      const wanted = limit - threads.length + 1;
      const places = await this.#placesBehind(last, request, filters, driving, wanted);
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

  /** The rarest filter, if few threads pass it, and fewer than there are of the resource. */
  async #drivingOf(
    { scope }: ListThreadsRequest,
    filters: readonly Filter[],
  ): Promise<Filter | null> {
    if (filters.length === 0) return null;
    const { connection, statements } = this.#context;
    const limit = MAX_DRIVING + 1;
    let fewest = limit;
    if (scope !== "every") {
      const key = toResourceKey(scope.resourceId);
      const { rows } = await connection.use((send) => send(statements.countResource, [key, limit]));
      fewest = Number(rows[0]?.count);
      if (fewest <= FEW_THREADS) return null;
    }
    const counted = await connection.use(async (send) => {
      const [, , ...counts] = await Promise.all([
        send(statements.begin),
        send(statements.bounded),
        ...filters.map(({ count, value }) => send(count, [value, limit])),
        send(statements.commit),
      ]);
      return counts;
    });
    let driving: Filter | null = null;
    for (const [at, filter] of filters.entries()) {
      const count = Number(counted[at]?.rows[0]?.count);
      if (count >= fewest) continue;
      fewest = count;
      driving = filter;
    }
    return driving;
  }

  async #placesBehind(
    place: ThreadPlace,
    request: ListThreadsRequest,
    filters: readonly Filter[],
    driving: Filter | null,
    limit: number,
  ): Promise<ThreadPlace[]> {
    const { connection, statements } = this.#context;
    const values = new Values();
    const text =
      driving === null
        ? this.#throughList(place, request, filters, limit, values)
        : this.#fromFilter(place, request, filters, driving, limit, values);
    // There are few forms of a list, and many of a search.
    const name = filters.length === 0 ? `dar_${nameOf(request)}` : "";
    const found = await connection.use(async (send) => {
      const [, , rows] = await Promise.all([
        send(statements.begin),
        send(statements.bounded),
        send({ name, text }, values.list),
        send(statements.commit),
      ]);
      return rows;
    });
    return (found.rows as PlaceRow[]).map(({ thread_id, at }) => ({
      threadId: fromStored(thread_id),
      at,
    }));
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
    for (const { table, condition, value } of filters) {
      // OFFSET 0 has the server look each thread up, and not make a set of all rows that pass.
      conditions.push(`EXISTS (SELECT 1 FROM ${table} AS f WHERE f.thread_id = l.thread_id
        AND ${condition(values.add(value))} OFFSET 0)`);
    }
    return conditions;
  }
}

function columnOf({ query }: ListThreadsRequest): "updated_at" | "created_at" {
  return (query.order ?? "updated") === "updated" ? "updated_at" : "created_at";
}

function nameOf({ query, scope }: ListThreadsRequest): string {
  const { archived, agentId, order = "updated" } = query;
  const who = scope === "every" ? "all" : "own";
  return `list_${order}_${who}_${archived}_${agentId === undefined ? "any" : "agent"}`;
}
