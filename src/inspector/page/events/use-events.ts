import { useInfiniteQuery } from "@tanstack/react-query";
import { useCallback, useMemo, useRef } from "react";
import type { EventItem, EventsAnswer, RunRef } from "../../api.ts";
import { get } from "../api/client.ts";
import { usePages } from "../api/pages.ts";
import { ofRun } from "../api/queries.ts";
import { refText } from "../location.ts";

export interface EventFilter {
  /** Event types, separated by commas. Empty for all. */
  readonly types: string;
  /** Text that the JSON of an event has, in whatever case. */
  readonly text: string;
}

export interface EventRows {
  readonly count: number;
  /** Undefined until it is loaded. */
  readonly at: (row: number) => EventItem | undefined;
  readonly onShown: (first: number, last: number) => void;
  /** The row of the event of an index, or -1 if it is not among the rows that are known. */
  readonly rowOf: (index: number) => number;
  readonly isLoading: boolean;
  readonly error: Error | null;
  readonly retry: () => void;
}

/** Events of a page, of all events and of those that a filter lets through. */
const PAGE = 200;
const FILTERED_PAGE = 1000;

const nothing = () => undefined;

/** All events of a stored run, loaded where they are shown. */
export function useAllEvents(thread: string, run: RunRef, total: number): EventRows {
  const { epoch, runId } = run;
  const read = useCallback(
    async (from: number, limit: number, signal: AbortSignal) => {
      const query = {
        ...ofRun(thread, { epoch, runId }),
        from: String(from),
        limit: String(limit),
      };
      return (await get("api/run/events", query, signal)).events;
    },
    [thread, epoch, runId],
  );
  const pages = usePages<EventItem>({
    queryKey: ["thread", thread, "run", refText(run), "events"],
    total,
    pageSize: PAGE,
    read,
  });
  return {
    ...pages,
    count: total,
    rowOf: (index) => (index < total ? index : -1),
    isLoading: false,
  };
}

/** The events of a stored run that a filter lets through. They are read in their order. */
export function useFilteredEvents(
  thread: string,
  run: RunRef,
  { types, text }: EventFilter,
  enabled: boolean,
): EventRows {
  const query = useInfiniteQuery({
    queryKey: ["thread", thread, "run", refText(run), "filtered", types, text],
    enabled,
    staleTime: Number.POSITIVE_INFINITY,
    initialPageParam: 0,
    queryFn: ({ pageParam, signal }) =>
      get(
        "api/run/events",
        {
          ...ofRun(thread, run),
          from: String(pageParam),
          limit: String(FILTERED_PAGE),
          ...(types === "" ? {} : { types }),
          ...(text === "" ? {} : { search: text }),
        },
        signal,
      ),
    getNextPageParam: ({ next }: EventsAnswer) => next,
  });
  const items = useMemo(
    () => query.data?.pages.flatMap(({ events }) => events) ?? [],
    [query.data],
  );
  const { fetchNextPage, hasNextPage, isFetching } = query;
  const onShown = useCallback(
    (_: number, last: number) => {
      if (last >= items.length - 50 && hasNextPage && !isFetching) void fetchNextPage();
    },
    [items.length, hasNextPage, isFetching, fetchNextPage],
  );
  return {
    count: query.data?.pages[0]?.matches ?? 0,
    at: (row) => items[row],
    onShown,
    rowOf: (index) => items.findIndex((item) => item.index === index),
    isLoading: enabled && query.isPending,
    error: query.error,
    retry: () => void query.refetch(),
  };
}

interface Passed {
  readonly items: readonly EventItem[];
  readonly types: string;
  readonly text: string;
  /** How many of the items have been looked at. */
  seen: number;
  readonly rows: EventItem[];
}

/** The events of the run that executes, so far. `items` grows in place: each of them is looked at once. */
export function useLiveEvents(items: readonly EventItem[], filter: EventFilter): EventRows {
  const { types, text } = filter;
  const last = useRef<Passed | null>(null);
  let passed = last.current;
  if (passed?.items !== items || passed.types !== types || passed.text !== text) {
    passed = { items, types, text, seen: 0, rows: [] };
    last.current = passed;
  }
  const known = types === "" ? null : new Set(types.split(","));
  const wanted = text.toLowerCase();
  for (; passed.seen < items.length; passed.seen++) {
    const item = items[passed.seen] as EventItem;
    if (known !== null && !known.has(item.type)) continue;
    if (wanted !== "" && !jsonOf(item).toLowerCase().includes(wanted)) continue;
    passed.rows.push(item);
  }
  const { rows } = passed;
  return {
    count: rows.length,
    at: (row) => rows[row],
    onShown: nothing,
    rowOf: (index) => rows.findIndex((item) => item.index === index),
    isLoading: false,
    error: null,
    retry: nothing,
  };
}

function jsonOf({ event, preview }: EventItem): string {
  return event === null ? (preview ?? "") : JSON.stringify(event);
}
