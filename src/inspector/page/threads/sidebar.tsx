import "./threads.css";
import { useCallback, useMemo } from "react";
import { useDatabase, useTotals } from "../api/queries.ts";
import { count, number, size } from "../format.ts";
import { OTHER_THREAD, type Place } from "../location.ts";
import { Failure } from "../parts/failure.tsx";
import { Notice } from "../parts/notice.tsx";
import { VirtualList } from "../parts/virtual-list.tsx";
import { Filters, isFiltered, NO_FILTERS } from "./filters.tsx";
import { THREAD_ROW, ThreadRow } from "./thread-row.tsx";
import { queryOf, type ThreadList, useThreads } from "./use-threads.ts";

/** The list of threads with its filters. */
export function Sidebar({ place }: { readonly place: Place }) {
  const { selection } = place;
  const { search, agent, resource, status, archived, order } = selection;
  // The same object as long as the filters are the same.
  // biome-ignore lint/correctness/useExhaustiveDependencies: what else is selected does not matter.
  const query = useMemo(
    () => queryOf(selection),
    [search, agent, resource, status, archived, order],
  );
  const list = useThreads(query);
  return (
    <aside className="sidebar" aria-label="Threads">
      <Filters place={place} />
      <Threads key={JSON.stringify(query)} place={place} list={list} />
      <Totals shown={list} isFiltered={isFiltered(selection)} />
    </aside>
  );
}

function Threads({ place, list }: { readonly place: Place; readonly list: ThreadList }) {
  const { threads, hasMore, more } = list;
  const { data: database } = useDatabase();
  const now = database?.now ?? Date.now();
  const open = place.selection.thread;
  const onShown = useCallback(
    (_: number, last: number) => {
      if (last >= threads.length - 20) more();
    },
    [threads.length, more],
  );
  if (list.error !== null && threads.length === 0) {
    return <Failure error={list.error} retry={list.retry} />;
  }
  if (list.isLoading) return <p className="loading">Loading…</p>;
  if (threads.length === 0 && !hasMore) return <NoThreads place={place} />;
  return (
    <VirtualList
      name="threads"
      label="Threads"
      count={threads.length + (hasMore ? 1 : 0)}
      rowHeight={THREAD_ROW}
      selected={threads.findIndex(({ id }) => id === open)}
      rowKey={(index) => threads[index]?.id ?? "more"}
      onShown={onShown}
      row={(index, control) => {
        const thread = threads[index];
        if (thread === undefined) return <p className="loading">Loading…</p>;
        const isOpen = thread.id === open;
        const href = place.href({
          ...(isOpen ? {} : OTHER_THREAD),
          thread: thread.id,
          page: undefined,
        });
        return <ThreadRow {...{ thread, href, isOpen, now, control }} />;
      }}
    />
  );
}

function NoThreads({ place }: { readonly place: Place }) {
  if (isFiltered(place.selection)) {
    return (
      <Notice title="No thread fits the filters">
        <button type="button" onClick={() => place.go(NO_FILTERS)}>
          Clear filters
        </button>
      </Notice>
    );
  }
  return (
    <Notice title="No threads yet">
      <p>A thread appears here when an agent's first run on it begins.</p>
    </Notice>
  );
}

function Totals({
  shown,
  isFiltered,
}: {
  readonly shown: ThreadList;
  readonly isFiltered: boolean;
}) {
  const { data: totals } = useTotals();
  if (totals === undefined) return null;
  const fit = `${number(shown.threads.length)}${shown.hasMore ? "+" : ""} of `;
  return (
    <p className="totals muted">
      {isFiltered ? fit : ""}
      {count(totals.threads, "thread")} · {count(totals.runs, "run")} · {size(totals.bytes)}
    </p>
  );
}
