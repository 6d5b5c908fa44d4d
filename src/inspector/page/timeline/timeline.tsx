import "./timeline.css";
import { useMemo } from "react";
import type { Mark, RunRef, Span, TimelineAnswer } from "../../api.ts";
import { useTimeline } from "../api/queries.ts";
import { count, duration, number, size } from "../format.ts";
import type { Place } from "../location.ts";
import { type RowControl, VirtualList } from "../parts/virtual-list.tsx";
import { Waiting } from "../parts/waiting.tsx";
import { RunPanel } from "../thread/run-panel.tsx";
import type { ViewProps } from "../thread/view-props.ts";
import { Interrupts, RunInput } from "./run-input.tsx";
import { depthsOf, type Scale, scaleOf } from "./scale.ts";

/** CSS pixels. */
const ROW = 28;
const TICKS = [0, 25, 50, 75, 100];
/** Steps to the right for spans within others: deeper ones do not go on. */
const MAX_DEPTH = 8;

/** A run as bars over its time: messages, reasoning, tool calls and steps. */
export function Timeline(props: ViewProps) {
  return (
    <RunPanel {...props}>
      {(run, isLive, facts) => (
        <>
          {isLive ? null : <RunInput thread={props.answer.thread.id} run={run} />}
          <Interrupts interrupts={facts.interrupts} />
          <TimelineOf
            thread={props.answer.thread.id}
            run={run}
            isLive={isLive}
            place={props.place}
          />
        </>
      )}
    </RunPanel>
  );
}

interface OfRun {
  readonly thread: string;
  readonly run: RunRef;
  readonly isLive: boolean;
  readonly place: Place;
}

function TimelineOf({ thread, run, isLive, place }: OfRun) {
  const { data, error, refetch } = useTimeline(thread, run, { isLive });
  if (data === undefined) {
    return <Waiting error={error} retry={refetch} />;
  }
  return <Spans timeline={data} place={place} isLive={isLive} />;
}

interface SpansProps {
  readonly timeline: TimelineAnswer;
  readonly place: Place;
  readonly isLive: boolean;
}

function Spans({ timeline, place, isLive }: SpansProps) {
  const { spans, marks, isCut, isTimed } = timeline;
  const scale = useMemo(() => scaleOf(timeline), [timeline]);
  const depths = useMemo(() => depthsOf(spans), [spans]);
  return (
    <div className="timeline">
      {isTimed ? null : (
        <p className="banner">
          The agent gave its events no timestamps: the bars lie by the numbers of the events, and
          durations are not known.
        </p>
      )}
      {isCut ? (
        <p className="banner">Only the first {count(spans.length, "part")} are shown.</p>
      ) : null}
      <div className="axis" aria-hidden="true">
        <div className="label" />
        <div className="track">
          {TICKS.map((tick, at) => (
            <span key={tick} className="tick" style={{ left: `${tick}%` }}>
              {tickText(scale, tick, TICKS[at - 1])}
            </span>
          ))}
          <Marks marks={marks} scale={scale} />
        </div>
        <div className="figure" />
      </div>
      <VirtualList
        name="main"
        label="Parts of the run, in their order"
        count={spans.length}
        rowHeight={ROW}
        follows={isLive}
        row={(index, control) => (
          <SpanRow
            span={spans[index] as Span}
            depth={Math.min(depths[index] ?? 0, MAX_DEPTH)}
            {...{ scale, place, control }}
          />
        )}
      />
    </div>
  );
}

/** Nothing where the tick before it says the same: a run may have fewer events than there are ticks. */
function tickText(scale: Scale, percent: number, before: number | undefined): string {
  const text = textAt(scale, percent);
  return before !== undefined && textAt(scale, before) === text ? "" : text;
}

function textAt({ isTimed, length }: Scale, percent: number): string {
  const value = (length * percent) / 100;
  if (isTimed) return duration(value);
  return percent === 0 ? "event 0" : number(Math.round(value));
}

interface RowProps {
  readonly span: Span;
  readonly depth: number;
  readonly scale: Scale;
  readonly place: Place;
  readonly control: RowControl;
}

function SpanRow({ span, depth, scale, place, control }: RowProps) {
  const { kind, label, preview, from, to, durationMs, bytes, isOpen } = span;
  const box = scale.of(span);
  const length = durationMs === null ? count(to - from + 1, "event") : duration(durationMs);
  return (
    <a
      className="span-row"
      href={place.href({ view: "events", event: String(from), types: undefined, text: undefined })}
      title={`${kind} ${label}, events ${from} to ${to}, ${size(bytes)}\n${preview}`}
      {...control}
    >
      <span className="label ellipsis" style={{ paddingLeft: depth * 12 }}>
        <span className={`kind ${kind}`}>{kind}</span> {kind === label ? "" : label}{" "}
        <span className="muted">{preview}</span>
      </span>
      <span className="track">
        {box === null ? null : (
          <span
            className={`bar ${kind} ${isOpen ? "open" : ""}`}
            style={{ left: `${box.left}%`, width: `${box.width}%` }}
          />
        )}
      </span>
      <span className="figure right">
        {length}
        {isOpen ? <span className="muted"> open</span> : null}
      </span>
    </a>
  );
}

/** State changes and custom events, on the axis. The list of events has them as text. */
function Marks({ marks, scale }: { readonly marks: readonly Mark[]; readonly scale: Scale }) {
  return marks.map(({ index, type, at, label }) => {
    const left = scale.at(index, at);
    if (left === null) return null;
    return (
      <span
        key={index}
        className="mark"
        style={{ left: `${left}%` }}
        title={`${index}. ${type} ${label}`}
      />
    );
  });
}
