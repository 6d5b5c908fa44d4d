import "./events.css";
import { useEffect, useState } from "react";
import type { EventItem, RunAnswer, RunRef } from "../../api.ts";
import { clock, number, size } from "../format.ts";
import { numberOf, type Place } from "../location.ts";
import { Failure } from "../parts/failure.tsx";
import { Notice } from "../parts/notice.tsx";
import { type RowControl, VirtualList } from "../parts/virtual-list.tsx";
import { RunPanel } from "../thread/run-panel.tsx";
import type { ViewProps } from "../thread/view-props.ts";
import { EventDetail } from "./event-detail.tsx";
import { familyOf, summaryOf } from "./summary.ts";
import {
  type EventFilter,
  type EventRows,
  useAllEvents,
  useFilteredEvents,
  useLiveEvents,
} from "./use-events.ts";

/** CSS pixels. */
const ROW = 26;
/** Milliseconds without a key after which the filter is applied. */
const PAUSE = 250;

/** The events of a run, to be filtered, and one of them as JSON. */
export function Events(props: ViewProps) {
  const { answer, place, live } = props;
  const { types = "", text = "" } = place.selection;
  const filter = { types, text };
  const thread = answer.thread.id;
  return (
    <RunPanel {...props}>
      {(run, isLive, facts) => (
        <>
          <FilterBar place={place} facts={facts} filter={filter} />
          {isLive ? (
            <LiveEvents {...{ thread, run, place, filter }} items={live.run?.items ?? []} />
          ) : (
            <StoredEvents {...{ thread, run, place, filter }} total={facts.events} />
          )}
        </>
      )}
    </RunPanel>
  );
}

interface OfRun {
  readonly thread: string;
  readonly run: RunRef;
  readonly place: Place;
  readonly filter: EventFilter;
}

function LiveEvents({ items, ...props }: OfRun & { readonly items: readonly EventItem[] }) {
  return <Rows {...props} rows={useLiveEvents(items, props.filter)} isLive />;
}

function StoredEvents({ total, ...props }: OfRun & { readonly total: number }) {
  const { thread, run, filter } = props;
  const isFiltered = filter.types !== "" || filter.text !== "";
  const all = useAllEvents(thread, run, isFiltered ? 0 : total);
  const filtered = useFilteredEvents(thread, run, filter, isFiltered);
  return <Rows {...props} rows={isFiltered ? filtered : all} isLive={false} />;
}

interface RowsProps extends OfRun {
  readonly rows: EventRows;
  readonly isLive: boolean;
}

function Rows({ thread, run, place, filter, rows, isLive }: RowsProps) {
  const index = numberOf(place.selection.event);
  const isFiltered = filter.types !== "" || filter.text !== "";
  if (rows.error !== null && rows.count === 0) {
    return <Failure error={rows.error} retry={rows.retry} />;
  }
  if (rows.isLoading) return <p className="loading">Loading…</p>;
  const selected = index === undefined ? -1 : rows.rowOf(index);
  const open = (row: number) => {
    const item = rows.at(row);
    if (item !== undefined) place.go({ event: String(item.index) }, { replace: true });
  };
  return (
    <div className={index === undefined ? "events" : "events with-detail"}>
      <div className="list">
        {rows.error === null ? null : <Failure error={rows.error} retry={rows.retry} />}
        {rows.count === 0 ? (
          <NoEvents isFiltered={isFiltered} place={place} />
        ) : (
          <VirtualList
            key={`${filter.types} ${filter.text}`}
            name="main"
            label="Events"
            count={rows.count}
            rowHeight={ROW}
            selected={selected}
            follows={isLive}
            onShown={rows.onShown}
            onMove={index === undefined ? undefined : open}
            row={(row, control) => (
              <EventRow
                item={rows.at(row)}
                href={place.href({ event: String(rows.at(row)?.index ?? row) })}
                isOpen={row === selected}
                control={control}
              />
            )}
          />
        )}
      </div>
      {index === undefined ? null : (
        <EventDetail
          {...{ thread, run, index, place }}
          item={selected < 0 ? undefined : rows.at(selected)}
        />
      )}
    </div>
  );
}

interface RowProps {
  readonly item: EventItem | undefined;
  readonly href: string;
  readonly isOpen: boolean;
  readonly control: RowControl;
}

function EventRow({ item, href, isOpen, control }: RowProps) {
  if (item === undefined) {
    return (
      <a className="event-row" href={href} {...control}>
        <span className="muted">…</span>
      </a>
    );
  }
  const { index, type, at, bytes } = item;
  return (
    <a className="event-row" href={href} aria-current={isOpen ? "true" : undefined} {...control}>
      <span className="muted right">{index}</span>
      <span className="muted when">{at === null ? "" : clock(at)}</span>
      <span className={`ellipsis type ${familyOf(type)}`}>{type}</span>
      <span className="ellipsis summary">{summaryOf(item)}</span>
      <span className="muted right bytes">{size(bytes)}</span>
    </a>
  );
}

function NoEvents({ isFiltered, place }: { readonly isFiltered: boolean; readonly place: Place }) {
  if (!isFiltered) return <Notice title="This run has no events yet" />;
  return (
    <Notice title="No event passes the filter">
      <button type="button" onClick={() => place.go({ types: undefined, text: undefined })}>
        Show all events
      </button>
    </Notice>
  );
}

interface BarProps {
  readonly place: Place;
  readonly facts: RunAnswer;
  readonly filter: EventFilter;
}

function FilterBar({ place: { go }, facts, filter: { types, text } }: BarProps) {
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => go({ text: typed }, { replace: true }), PAUSE);
    return () => clearTimeout(timer);
  }, [typed, text, go]);
  const chosen = types === "" ? [] : types.split(",");
  return (
    <search className="event-filter">
      <input
        type="search"
        data-field="text"
        aria-label="Filter events by text"
        aria-keyshortcuts="/"
        placeholder="Text in the event's JSON"
        value={typed}
        onChange={({ target }) => setTyped(target.value)}
        onKeyDown={({ key }) => {
          if (key === "Escape") setTyped("");
        }}
      />
      <fieldset className="types">
        <legend className="only-read">Types</legend>
        {facts.types.map(({ type, events }) => {
          const isChosen = chosen.includes(type);
          const next = isChosen ? chosen.filter((name) => name !== type) : [...chosen, type];
          return (
            <button
              key={type}
              type="button"
              className={`chip ${familyOf(type)}`}
              aria-pressed={isChosen}
              onClick={() => go({ types: next.join(",") })}
            >
              {type} <span className="muted">{number(events)}</span>
            </button>
          );
        })}
      </fieldset>
    </search>
  );
}
