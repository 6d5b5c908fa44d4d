import "./thread.css";
import { useQueryClient } from "@tanstack/react-query";
import type { ThreadAnswer } from "../../api.ts";
import { useLive } from "../api/live.ts";
import { useThread } from "../api/queries.ts";
import { Compare } from "../compare/compare.tsx";
import { Conversation } from "../conversation/conversation.tsx";
import { Events } from "../events/events.tsx";
import { type Place, VIEWS, type View, viewOf } from "../location.ts";
import { Failure } from "../parts/failure.tsx";
import { Runs } from "../runs/runs.tsx";
import { State } from "../state/state.tsx";
import { Timeline } from "../timeline/timeline.tsx";
import { ThreadHeader } from "./thread-header.tsx";
import type { ViewProps } from "./view-props.ts";

interface Props {
  readonly threadId: string;
  readonly place: Place;
}

const LABELS: Readonly<Record<View, string>> = {
  conversation: "Conversation",
  runs: "Runs",
  timeline: "Timeline",
  events: "Events",
  state: "State",
  compare: "Compare",
};

const PANELS: Readonly<Record<View, (props: ViewProps) => React.ReactNode>> = {
  conversation: Conversation,
  runs: Runs,
  timeline: Timeline,
  events: Events,
  state: State,
  compare: Compare,
};

/** A thread, in one of its views. */
export function ThreadPage({ threadId, place }: Props) {
  const { data, error, refetch } = useThread(threadId);
  if (data === undefined) {
    return error === null ? (
      <p className="loading">Loading…</p>
    ) : (
      <>
        <BackLink place={place} />
        <Failure error={error} retry={refetch} />
      </>
    );
  }
  return <LoadedThread key={threadId} threadId={threadId} answer={data} place={place} />;
}

function LoadedThread({ threadId, answer, place }: Props & { readonly answer: ThreadAnswer }) {
  const client = useQueryClient();
  const live = useLive(threadId);
  const view = viewOf(place.selection);
  const Panel = PANELS[view];
  return (
    <div className="thread">
      <BackLink place={place} />
      <ThreadHeader answer={answer} place={place} />
      <nav className="tabs views" aria-label="Views of the thread">
        {VIEWS.map((name, at) => (
          <a
            key={name}
            href={place.href({ view: name })}
            aria-current={name === view ? "page" : undefined}
            aria-keyshortcuts={String(at + 1)}
          >
            {LABELS[name]}
          </a>
        ))}
      </nav>
      {live.failure === null ? null : (
        <p className="banner" role="status">
          Following the run failed and is tried again: {live.failure.message}{" "}
          <button
            type="button"
            className="small"
            onClick={() => void client.invalidateQueries({ queryKey: ["thread", threadId] })}
          >
            Load what is stored
          </button>
        </p>
      )}
      <div className="panel">
        <Panel answer={answer} live={live} place={place} />
      </div>
    </div>
  );
}

/** In narrow windows, where the list is not beside the thread. */
function BackLink({ place }: { readonly place: Place }) {
  return (
    <a className="back" href={place.href({ thread: undefined })}>
      ← Threads
    </a>
  );
}
