import "./compare.css";
import { useMemo } from "react";
import type { Message, RunAnswer, RunRef } from "../../api.ts";
import { useRun, useRunMessages, useRunState, useRuns } from "../api/queries.ts";
import { MessageView } from "../conversation/message.tsx";
import { callsOf, roleOf, textOf, toolNameOf } from "../conversation/text-of.ts";
import { number, size, time } from "../format.ts";
import { refOf, refText } from "../location.ts";
import { DifferenceList } from "../parts/difference-list.tsx";
import { Failure } from "../parts/failure.tsx";
import { Notice } from "../parts/notice.tsx";
import { statusOfRun, WORDS } from "../parts/status.tsx";
import { Waiting } from "../parts/waiting.tsx";
import { durationOf, tokensOf } from "../runs/figures.ts";
import { chosenRun, isSame, runRefs } from "../thread/run-choice.ts";
import { RunPicker } from "../thread/run-picker.tsx";
import type { ViewProps } from "../thread/view-props.ts";
import { TextDifference } from "./text-difference.tsx";

/** What differs between two runs of a thread: figures, what they said, and the state they left. */
export function Compare({ answer, place }: ViewProps) {
  const { data, error, refetch } = useRuns(answer.thread);
  const refs = useMemo(() => runRefs(answer, data?.runs ?? []), [answer, data]);
  const run = chosenRun(place.selection, answer);
  // By default with the run before it, or else with the one after it.
  const at = refs.findIndex((ref) => isSame(ref, run));
  const against = refOf(place.selection.against) ?? refs[at + 1] ?? refs[at - 1];
  if (data === undefined) {
    return <Waiting error={error} retry={refetch} />;
  }
  if (run === undefined || against === undefined || refs.length < 2) {
    return (
      <Notice title="There is nothing to compare">
        <p>It takes two runs, and this thread has {number(refs.length)}.</p>
      </Notice>
    );
  }
  return (
    <>
      <div className="run-bar">
        <RunPicker {...{ answer, place }} run={against} name="against" label="Run A" />
        <span className="muted">and</span>
        <RunPicker {...{ answer, place }} run={run} label="Run B" />
      </div>
      <Difference
        key={`${refText(against)} ${refText(run)}`}
        thread={answer.thread.id}
        a={against}
        b={run}
        isLiveA={isSame(against, answer.live)}
        isLiveB={isSame(run, answer.live)}
      />
    </>
  );
}

interface Pair {
  readonly thread: string;
  readonly a: RunRef;
  readonly b: RunRef;
  readonly isLiveA: boolean;
  readonly isLiveB: boolean;
}

function Difference({ thread, a, b, isLiveA, isLiveB }: Pair) {
  const [factsA, factsB] = [
    useRun(thread, a, { isLive: isLiveA }),
    useRun(thread, b, { isLive: isLiveB }),
  ];
  const [saidA, saidB] = [
    useRunMessages(thread, a, { isLive: isLiveA }),
    useRunMessages(thread, b, { isLive: isLiveB }),
  ];
  const [stateA, stateB] = [
    useRunState(thread, a, { isLive: isLiveA }),
    useRunState(thread, b, { isLive: isLiveB }),
  ];
  const all = [factsA, factsB, saidA, saidB, stateA, stateB];
  const failed = all.find(({ error, data }) => error !== null && data === undefined);
  if (failed !== undefined && failed.error !== null) {
    return <Failure error={failed.error} retry={() => void failed.refetch()} />;
  }
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a long comparison is scrolled by the keyboard.
    <section className="scrolled compare" aria-label="Differences" tabIndex={0}>
      {factsA.data === undefined || factsB.data === undefined ? null : (
        <Figures a={factsA.data} b={factsB.data} />
      )}
      <h3>What they said</h3>
      {saidA.data === undefined || saidB.data === undefined ? (
        <p className="loading">Loading…</p>
      ) : (
        <Said a={saidA.data.added} b={saidB.data.added} />
      )}
      <h3>The state that they left</h3>
      {stateA.data === undefined || stateB.data === undefined ? (
        <p className="loading">Loading…</p>
      ) : (
        <DifferenceList
          before={stateA.data.after}
          after={stateB.data.after}
          labels={["After A", "After B"]}
          same="It is the same."
        />
      )}
    </section>
  );
}

function Figures({ a, b }: { readonly a: RunAnswer; readonly b: RunAnswer }) {
  const types = [...new Set([...a.types, ...b.types].map(({ type }) => type))];
  const ofType = ({ types: counted }: RunAnswer, type: string) =>
    number(counted.find((each) => each.type === type)?.events ?? 0);
  const rows: readonly (readonly [string, string, string])[] = [
    ["Outcome", outcomeOf(a), outcomeOf(b)],
    ["Ended", endOf(a), endOf(b)],
    ["Duration", durationOf(a), durationOf(b)],
    ["Tokens in + out", tokensOf(a), tokensOf(b)],
    ["Size of events", size(a.eventBytes), size(b.eventBytes)],
    ["Text messages", number(a.messages), number(b.messages)],
    ["Tool calls", number(a.toolCalls), number(b.toolCalls)],
    ["Events", number(a.events), number(b.events)],
    // A type whose events are as many in both runs says nothing.
    ...types
      .map((type) => [type, ofType(a, type), ofType(b, type)] as const)
      .filter(([, left, right]) => left !== right),
  ];
  return (
    <table className="figures">
      <thead>
        <tr>
          <th scope="col">
            <span className="only-read">Figure</span>
          </th>
          <th scope="col">A</th>
          <th scope="col">B</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, left, right]) => (
          <tr key={name} className={left === right ? "" : "differs"}>
            <th scope="row">{name}</th>
            <td>{left}</td>
            <td>{right}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function outcomeOf({ run, error }: RunAnswer): string {
  if (run === null) return "running";
  return [WORDS[statusOfRun(run)], error?.code, error?.message].filter(Boolean).join(" ");
}

function endOf({ times }: RunAnswer): string {
  return times.endedAt === null ? "–" : time(times.endedAt);
}

/** Messages of two runs side by side, in their order. */
function Said({ a, b }: { readonly a: readonly Message[]; readonly b: readonly Message[] }) {
  const rows = Math.max(a.length, b.length);
  if (rows === 0) return <p className="muted">Neither run added a message.</p>;
  return (
    <ol className="side-by-side">
      {Array.from({ length: rows }, (_, at) => {
        const [left, right] = [a[at], b[at]];
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: the place is what the two messages share.
          <li key={at}>
            <Side messages={a} at={at} />
            <Side messages={b} at={at} />
            {left !== undefined && right !== undefined && isPlain(left) && isPlain(right) ? (
              <TextDifference before={textOf(left)} after={textOf(right)} />
            ) : null}
          </li>
        );
      })}
    </ol>
  );
}

/** Whether two messages are compared word by word. */
function isPlain(message: Message): boolean {
  return roleOf(message) === "assistant" && callsOf(message).length === 0;
}

function Side({ messages, at }: { readonly messages: readonly Message[]; readonly at: number }) {
  const message = messages[at];
  return (
    <div>
      {message === undefined ? (
        <p className="muted">–</p>
      ) : (
        <MessageView message={message} toolName={toolNameOf(at, (index) => messages[index])} />
      )}
    </div>
  );
}
