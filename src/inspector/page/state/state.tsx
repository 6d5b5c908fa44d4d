import type { RunRef, StateChange } from "../../api.ts";
import { useRunState } from "../api/queries.ts";
import { clock, count, size } from "../format.ts";
import { type Place, refText } from "../location.ts";
import { CopyButton } from "../parts/copy-button.tsx";
import { DifferenceList } from "../parts/difference-list.tsx";
import { Json } from "../parts/json.tsx";
import { Notice } from "../parts/notice.tsx";
import { Waiting } from "../parts/waiting.tsx";
import { RunPanel } from "../thread/run-panel.tsx";
import type { ViewProps } from "../thread/view-props.ts";

/** The state of a thread after a run, and how the run changed it. */
export function State(props: ViewProps) {
  return (
    <RunPanel {...props}>
      {(run, isLive) => (
        <StateOf thread={props.answer.thread.id} run={run} isLive={isLive} place={props.place} />
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

function StateOf({ thread, run, isLive, place }: OfRun) {
  const { data, error, refetch } = useRunState(thread, run, { isLive });
  if (data === undefined) {
    return <Waiting error={error} retry={refetch} />;
  }
  const { before, after, changes, total } = data;
  if (total === 0 && isEmpty(before) && isEmpty(after)) {
    return (
      <Notice title="No state">
        <p>
          Neither this run nor one before it has set a state. The keys [ and ] step through the
          runs.
        </p>
      </Notice>
    );
  }
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a long state is scrolled by the keyboard.
    <section className="scrolled state" aria-label="State" tabIndex={0}>
      <h3>What the run changed</h3>
      <DifferenceList
        key={refText(run)}
        before={before}
        after={after}
        labels={["Before", "After"]}
        same="The state after the run is the state before it."
      />
      <h3>
        Step by step <span className="muted">{count(total, "event")}</span>
      </h3>
      {total === 0 ? (
        <p className="muted">It has no event that sets or changes the state.</p>
      ) : null}
      <ol className="changes">
        {changes.map((change) => (
          <Change key={change.index} change={change} place={place} />
        ))}
      </ol>
      {total > changes.length ? (
        <p className="muted">Only the first {count(changes.length, "event")} are shown.</p>
      ) : null}
      <h3>
        State after the run{" "}
        <CopyButton text={JSON.stringify(after, null, 2)} label="Copy the state as JSON" />
      </h3>
      <Json key={`after ${refText(run)}`} value={after} depth={2} />
    </section>
  );
}

function Change({ change, place }: { readonly change: StateChange; readonly place: Place }) {
  const { index, at, kind, value, bytes } = change;
  return (
    <li>
      <a href={place.href({ view: "events", event: String(index) })}>{index}</a>{" "}
      <span className="muted">{at === null ? "" : clock(at)}</span>{" "}
      {kind === "delta" ? "changed" : "set"}
      {value === null ? (
        <span className="muted"> {size(bytes)}: see the event</span>
      ) : (
        <Json value={value} depth={kind === "delta" ? 2 : 0} />
      )}
    </li>
  );
}

function isEmpty(state: unknown): boolean {
  return typeof state === "object" && state !== null && Object.keys(state).length === 0;
}
