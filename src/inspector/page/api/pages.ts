import { useQueries } from "@tanstack/react-query";
import { useCallback, useState } from "react";

interface Options<Item> {
  /** The key under which the pages are kept. */
  readonly queryKey: readonly unknown[];
  /** How many items there are. */
  readonly total: number;
  /** Items of a page. */
  readonly pageSize: number;
  /** Reads items from an index on. May give fewer than asked for, but at least one. */
  readonly read: (from: number, limit: number, signal: AbortSignal) => Promise<readonly Item[]>;
}

export interface Pages<Item> {
  /** Undefined until it is loaded. */
  readonly at: (index: number) => Item | undefined;
  /** Told by the list which items are shown. */
  readonly onShown: (first: number, last: number) => void;
  /** Why a page that is shown could not be loaded. */
  readonly error: Error | null;
  readonly retry: () => void;
}

/** Items of a long list, of which only the pages that are shown are loaded. */
export function usePages<Item>(options: Options<Item>): Pages<Item> {
  const { queryKey, total, pageSize, read } = options;
  const [[first, last], setShown] = useState<readonly [number, number]>([0, 0]);
  const lastPage = Math.max(Math.ceil(total / pageSize) - 1, 0);
  const from = Math.min(Math.floor(first / pageSize), lastPage);
  const to = Math.min(Math.floor(last / pageSize), lastPage);
  const wanted = total === 0 ? [] : Array.from({ length: to - from + 1 }, (_, at) => from + at);

  const pages = useQueries({
    queries: wanted.map((page) => ({
      queryKey: [...queryKey, "page", page, Math.min(total, (page + 1) * pageSize)],
      staleTime: Number.POSITIVE_INFINITY,
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const end = Math.min(total, (page + 1) * pageSize);
        const items: Item[] = [];
        while (page * pageSize + items.length < end) {
          const next = page * pageSize + items.length;
          const more = await read(next, end - next, signal);
          if (more.length === 0) break;
          items.push(...more);
        }
        return items;
      },
    })),
  });

  const onShown = useCallback((start: number, end: number) => setShown([start, end]), []);
  const at = (index: number) =>
    pages[Math.floor(index / pageSize) - from]?.data?.[index % pageSize];
  const failed = pages.find(({ error }) => error !== null);
  return {
    at,
    onShown,
    error: failed?.error ?? null,
    retry: () => void failed?.refetch(),
  };
}
