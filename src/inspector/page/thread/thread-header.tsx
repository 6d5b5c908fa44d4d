import { useState } from "react";
import type { Relative, ThreadAnswer } from "../../api.ts";
import { stop } from "../api/client.ts";
import { useDatabase } from "../api/queries.ts";
import { ago, count, number, size, time } from "../format.ts";
import { OTHER_THREAD, type Place } from "../location.ts";
import { CopyButton } from "../parts/copy-button.tsx";
import { StatusMark, statusOfThread } from "../parts/status.tsx";

interface Props {
  readonly answer: ThreadAnswer;
  readonly place: Place;
}

/** Whether there is room for more than the title. */
const IS_WIDE = matchMedia("(width >= 800px)").matches;

/** What a thread is, whose, and how large. */
export function ThreadHeader({ answer, place }: Props) {
  const { thread, ancestors, forks } = answer;
  const { id, title, agentId, resourceId, archived, runs, messages, bytes, tokens } = thread;
  const { data: database } = useDatabase();
  const now = database?.now ?? Date.now();
  const hasMetadata = Object.keys(thread.metadata).length > 0;
  return (
    <div className="thread-header">
      <div className="first-line">
        <h2>{title ?? id}</h2>
        <StatusMark status={statusOfThread(thread)} />
        {archived ? <span className="tag">archived</span> : null}
        <StopButton key={answer.live?.epoch} answer={answer} />
      </div>
      <details className="about" open={IS_WIDE}>
        <summary>About the thread</summary>
        <dl className="facts">
          <Fact name="Thread">
            <code className="ellipsis id">{id}</code>{" "}
            <CopyButton text={id} label="Copy the thread's id" />
          </Fact>
          {agentId === null ? null : <Fact name="Agent">{agentId}</Fact>}
          <Fact name="Resource">{resourceId ?? <span className="muted">nobody</span>}</Fact>
          <Fact name="Size">
            {count(runs, "run")}, {count(messages, "message")}, {size(bytes)}
          </Fact>
          {tokens === null ? null : (
            <Fact name="Tokens">
              {number(tokens.input)} in, {number(tokens.output)} out
            </Fact>
          )}
          <Fact name="Created">{time(thread.createdAt)}</Fact>
          <Fact name="Updated">
            <span title={time(thread.updatedAt)}>{ago(thread.updatedAt, now)}</span>
          </Fact>
          {hasMetadata ? (
            <Fact name="Metadata">
              <code className="ellipsis id">{JSON.stringify(thread.metadata)}</code>
            </Fact>
          ) : null}
          {ancestors.length === 0 ? null : (
            <Fact name="Forked from">
              <Relatives relatives={ancestors} place={place} />
            </Fact>
          )}
          {forks.length === 0 ? null : (
            <Fact name="Forks">
              <Relatives relatives={forks} place={place} />
            </Fact>
          )}
        </dl>
      </details>
    </div>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Relatives that are named. The rest is counted. */
const SHOWN = 5;

function Relatives({
  relatives,
  place,
}: {
  readonly relatives: readonly Relative[];
  readonly place: Place;
}) {
  const rest = relatives.length - SHOWN;
  return (
    <>
      {relatives.slice(0, SHOWN).map(({ threadId, thread }) =>
        thread === null ? (
          <span key={threadId} className="muted">
            {threadId} (removed){" "}
          </span>
        ) : (
          <a key={threadId} href={place.href({ ...OTHER_THREAD, thread: threadId })}>
            {thread.title ?? threadId}{" "}
          </a>
        ),
      )}
      {rest > 0 ? <span className="muted">and {number(rest)} more</span> : null}
    </>
  );
}

/** Asks before it stops the run that executes. */
function StopButton({ answer: { thread, live } }: { readonly answer: ThreadAnswer }) {
  const [isAsking, setAsking] = useState(false);
  const [said, setSaid] = useState("");
  if (live === null) return null;
  const isTold = live.stop !== "none";
  async function confirm(runId: string) {
    setAsking(false);
    try {
      const { isStopped } = await stop({ thread: thread.id, runId });
      setSaid(isStopped ? "told to stop" : "was told to stop before, or has ended");
    } catch (error) {
      setSaid(error instanceof Error ? error.message : String(error));
    }
  }
  return (
    <span className="stop">
      <span role="status" className="muted">
        {isTold && said === "" ? "told to stop" : said}
      </span>
      {isAsking ? (
        <>
          <button type="button" className="danger" onClick={() => void confirm(live.runId)}>
            Stop the run
          </button>
          <button type="button" onClick={() => setAsking(false)}>
            Let it run
          </button>
        </>
      ) : (
        <button type="button" disabled={isTold} onClick={() => setAsking(true)}>
          Stop…
        </button>
      )}
    </span>
  );
}
