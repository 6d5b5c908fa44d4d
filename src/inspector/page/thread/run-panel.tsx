import type { ReactNode } from "react";
import type { RunAnswer, RunRef } from "../../api.ts";
import { useRun } from "../api/queries.ts";
import { count, size } from "../format.ts";
import { refText } from "../location.ts";
import { Failure } from "../parts/failure.tsx";
import { Notice } from "../parts/notice.tsx";
import { StatusMark, statusOfRun } from "../parts/status.tsx";
import { durationOf, tokensOf } from "../runs/figures.ts";
import { chosenRun, isSame } from "./run-choice.ts";
import { RunPicker } from "./run-picker.tsx";
import type { ViewProps } from "./view-props.ts";

interface Props extends ViewProps {
  readonly children: (run: RunRef, isLive: boolean, facts: RunAnswer) => ReactNode;
}

/** The chosen run with its facts, above what a view shows of it. */
export function RunPanel(props: Props) {
  const { answer, place } = props;
  const run = chosenRun(place.selection, answer);
  if (run === undefined) {
    return (
      <Notice title="This thread has no runs">
        <p>They were purged, or the first one was discarded.</p>
      </Notice>
    );
  }
  return <OfRun key={refText(run)} {...props} run={run} />;
}

function OfRun({ answer, place, run, children }: Props & { readonly run: RunRef }) {
  const isLive = isSame(run, answer.live);
  const { data, error, refetch } = useRun(answer.thread.id, run, { isLive });
  return (
    <>
      <div className="run-bar">
        <RunPicker answer={answer} place={place} run={run} />
        {data === undefined ? null : <RunFacts facts={data} />}
      </div>
      {data?.error === null || data === undefined ? null : (
        <p className="banner error">
          {data.error.message} {data.error.code === null ? null : <code>{data.error.code}</code>}
        </p>
      )}
      {data !== undefined ? children(run, isLive, data) : null}
      {data === undefined && error === null ? <p className="loading">Loading…</p> : null}
      {data === undefined && error !== null ? <Failure error={error} retry={refetch} /> : null}
    </>
  );
}

function RunFacts({ facts }: { readonly facts: RunAnswer }) {
  const { run, times, events, eventBytes, toolCalls, tokens } = facts;
  const parts = [
    times.durationMs === null ? null : durationOf(facts),
    count(events, "event"),
    size(eventBytes),
    toolCalls === 0 ? null : count(toolCalls, "tool call"),
    tokens === null ? null : `${tokensOf(facts)} tokens`,
  ];
  return (
    <p className="run-facts">
      <StatusMark status={run === null ? "running" : statusOfRun(run)} />{" "}
      <span className="muted">{parts.filter((part) => part !== null).join(" · ")}</span>
    </p>
  );
}
