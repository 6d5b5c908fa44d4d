import "./runs.css";
import { useEffect, useMemo, useState } from "react";
import type { RunItem, RunRef } from "../../api.ts";
import { MAX_RUNS, useRun, useRuns } from "../api/queries.ts";
import { count, number, size, time } from "../format.ts";
import { OTHER_RUN, refText } from "../location.ts";
import { Failure } from "../parts/failure.tsx";
import { Notice } from "../parts/notice.tsx";
import { StatusMark, statusOfRun } from "../parts/status.tsx";
import { type RowControl, VirtualList } from "../parts/virtual-list.tsx";
import { chosenRun, isSame, runRefs } from "../thread/run-choice.ts";
import type { ViewProps } from "../thread/view-props.ts";
import { durationOf, tokensOf } from "./figures.ts";
import { RunChart } from "./run-chart.tsx";

/** CSS pixels. */
const ROW = 44;

/** The runs of a thread, newest first. */
export function Runs({ answer, place }: ViewProps) {
  const { id } = answer.thread;
  const { data, error, refetch } = useRuns(answer.thread);
  const refs = useMemo(() => runRefs(answer, data?.runs ?? []), [answer, data]);
  const chosen = chosenRun(place.selection, answer);
  const hrefOf = (ref: RunRef) => place.href({ ...OTHER_RUN, view: "timeline", run: refText(ref) });

  if (data === undefined) {
    return error === null ? (
      <p className="loading">Loading…</p>
    ) : (
      <Failure error={error} retry={refetch} />
    );
  }
  if (refs.length === 0) {
    return (
      <Notice title="This thread has no runs">
        <p>They were purged, or the first one was discarded.</p>
      </Notice>
    );
  }
  return (
    <div className="runs">
      <RunChart runs={data.runs} hrefOf={hrefOf} />
      {data.isCut ? (
        <p className="banner">Only the oldest {count(MAX_RUNS, "run")} are listed.</p>
      ) : null}
      <div className="run-row heads" aria-hidden="true">
        <span>Run</span>
        <span>Ended</span>
        <span className="right">Duration</span>
        <span className="right">Events</span>
        <span className="right">Tokens</span>
        <span className="right">Size</span>
        <span>Outcome</span>
      </div>
      <VirtualList
        name="main"
        label="Runs, newest first"
        count={refs.length}
        rowHeight={ROW}
        selected={refs.findIndex((ref) => isSame(ref, chosen))}
        rowKey={(index) => refText(refs[index] as RunRef)}
        row={(index, control) => {
          const run = refs[index] as RunRef & Partial<RunItem>;
          return (
            <RunRow
              {...{ thread: id, run, control }}
              place={refs.length - index}
              href={hrefOf(run)}
              isChosen={isSame(run, chosen)}
            />
          );
        }}
      />
    </div>
  );
}

interface RowProps {
  readonly thread: string;
  readonly run: RunRef & Partial<RunItem>;
  /** The number of the run in the thread, from 1. */
  readonly place: number;
  readonly href: string;
  readonly isChosen: boolean;
  readonly control: RowControl;
}

function RunRow({ thread, run, place, href, isChosen, control }: RowProps) {
  const { runId, agentId, outcome, errorCode = null, endedAt, bytes } = run;
  const isLive = outcome === undefined;
  const { data } = useRun(thread, run, { isLive, enabled: useIsSettled() });
  return (
    <a className="run-row" href={href} aria-current={isChosen ? "true" : undefined} {...control}>
      <span className="name" title={runId}>
        <span className="ellipsis">
          <span className="muted">{place}.</span> <code>{runId}</code>
        </span>
        <span className="ellipsis muted">{agentId}</span>
      </span>
      <span className="muted ended">{endedAt === undefined ? "" : time(endedAt)}</span>
      <span className="right" title="Duration">
        {durationOf(data)}
      </span>
      <span className="right" title="Events">
        {data === undefined ? "…" : number(data.events)}
      </span>
      <span className="right" title="Tokens in and out">
        {tokensOf(data)}
      </span>
      <span className="right" title="Bytes of events and input">
        {size(bytes ?? data?.eventBytes ?? 0)}
      </span>
      <span className="outcome">
        {outcome === undefined ? (
          <StatusMark status="running" />
        ) : (
          <StatusMark
            status={statusOfRun({ outcome, errorCode })}
            {...(errorCode === null ? {} : { code: errorCode })}
          />
        )}
      </span>
    </a>
  );
}

/** Milliseconds for which a row has to be in view before its run is read. */
const SETTLED = 150;

/** Whether the row stays: nothing is asked for rows that are only scrolled past. */
function useIsSettled(): boolean {
  const [isSettled, setSettled] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(true), SETTLED);
    return () => clearTimeout(timer);
  }, []);
  return isSettled;
}
