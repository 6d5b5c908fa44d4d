import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";
import type { ThreadSummary, ThreadsAnswer, ThreadsQuery } from "../../api.ts";
import { get } from "../api/client.ts";
import type { Selection } from "../location.ts";

const PAGE = 200;
/** Threads that are looked at again and again, in case they changed. */
const HEAD = 50;
/** Milliseconds. */
const POLL = 3000;

export interface ThreadList {
  readonly threads: readonly ThreadSummary[];
  /** Whether there are more, which `more` loads. */
  readonly hasMore: boolean;
  readonly more: () => void;
  readonly isLoading: boolean;
  readonly error: Error | null;
  readonly retry: () => void;
}

/** The filters, as the API takes them. */
export function queryOf(selection: Selection): ThreadsQuery {
  const { search, agent, resource, status, archived, order } = selection;
  const fields = { search: search?.trim(), agent, resource, status, archived, order };
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== ""),
  );
}

/** The threads that the filters let through, page by page as the list is scrolled. */
export function useThreads(query: ThreadsQuery): ThreadList {
  const client = useQueryClient();
  const key = useMemo(() => ["threads", query], [query]);
  const pages = useInfiniteQuery({
    queryKey: key,
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      get("api/threads", pageQuery(query, PAGE, pageParam), signal),
    getNextPageParam: ({ nextCursor }: ThreadsAnswer) => nextCursor,
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
  });
  // Reading all pages again would be too much: what changes comes to the head of the list.
  const head = useQuery({
    queryKey: ["threads-head", query],
    queryFn: ({ signal }) => get("api/threads", pageQuery(query, HEAD, ""), signal),
    refetchInterval: POLL,
    enabled: pages.isSuccess,
  });

  const loaded = useMemo(
    () => pages.data?.pages.flatMap((page) => page.threads) ?? [],
    [pages.data],
  );
  const threads = useMemo(() => merged(head.data, loaded), [head.data, loaded]);

  const hasGap = isBehind(head.data, loaded);
  useEffect(() => {
    if (hasGap) void client.resetQueries({ queryKey: key });
  }, [hasGap, client, key]);

  const { fetchNextPage, hasNextPage, isFetching, isFetchNextPageError } = pages;
  return {
    threads,
    hasMore: hasNextPage,
    more: () => {
      if (hasNextPage && !isFetching && !isFetchNextPageError) void fetchNextPage();
    },
    isLoading: pages.isPending,
    error: pages.error ?? head.error,
    retry: () => void (pages.isError && !isFetchNextPageError ? pages.refetch() : fetchNextPage()),
  };
}

function pageQuery(query: ThreadsQuery, limit: number, cursor: string): ThreadsQuery {
  return { ...query, limit: String(limit), ...(cursor === "" ? {} : { cursor }) };
}

function merged(
  head: ThreadsAnswer | undefined,
  loaded: readonly ThreadSummary[],
): readonly ThreadSummary[] {
  if (head === undefined) return loaded;
  if (head.nextCursor === null) return head.threads;
  const ids = new Set(head.threads.map(({ id }) => id));
  // What stood above the end of the head, and is not in the head, is gone or no longer passes the filters.
  const end = head.threads.at(-1);
  const at = loaded.findLastIndex(({ id }) => id === end?.id);
  return [...head.threads, ...loaded.slice(at + 1).filter(({ id }) => !ids.has(id))];
}

/** Whether so much is new that the head no longer reaches down to what was loaded. */
function isBehind(head: ThreadsAnswer | undefined, loaded: readonly ThreadSummary[]): boolean {
  if (head === undefined || head.nextCursor === null || loaded.length === 0) return false;
  const ids = new Set(loaded.map(({ id }) => id));
  return head.threads.length > 0 && !head.threads.some(({ id }) => ids.has(id));
}
