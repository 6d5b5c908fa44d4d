import "./conversation.css";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useCallback } from "react";
import type { Message } from "../../api.ts";
import { get } from "../api/client.ts";
import { usePages } from "../api/pages.ts";
import { stampOf, useRun } from "../api/queries.ts";
import { OTHER_RUN, refText } from "../location.ts";
import { Failure } from "../parts/failure.tsx";
import { Notice } from "../parts/notice.tsx";
import { StatusMark, statusOfRun } from "../parts/status.tsx";
import { VirtualList } from "../parts/virtual-list.tsx";
import { Waiting } from "../parts/waiting.tsx";
import type { ViewProps } from "../thread/view-props.ts";
import { useLiveMessages } from "./live-messages.ts";
import { MessageView } from "./message.tsx";
import { toolNameOf } from "./text-of.ts";

/** Messages of a page. */
const PAGE = 100;
/** CSS pixels that a message takes, as long as nobody knows. */
const ROW = 72;

/** The messages of a thread, as a person would read them. It begins at their end. */
export function Conversation({ answer, live, place }: ViewProps) {
  const { id } = answer.thread;
  const stamp = stampOf(answer.thread);
  // The last messages: a run that executes goes on from them.
  const tail = useQuery({
    queryKey: ["thread", id, "messages", stamp, "tail"],
    queryFn: ({ signal }) => get("api/messages", { thread: id, limit: String(PAGE) }, signal),
    staleTime: Number.POSITIVE_INFINITY,
    placeholderData: keepPreviousData,
  });
  // A run is shown as it was told until the messages that are stored are those of this run as well. They may be
  // before anybody is told that it has ended.
  const isStored = live.run !== null && live.run.epoch <= (tail.data?.epoch ?? -1);
  const run = isStored ? null : live.run;
  const ending = useLiveMessages(tail.data?.messages, run);
  const read = useCallback(
    async (from: number, limit: number, signal: AbortSignal) => {
      const query = { thread: id, from: String(from), limit: String(limit) };
      return (await get("api/messages", query, signal)).messages;
    },
    [id],
  );
  const before = tail.data?.from ?? 0;
  const pages = usePages<Message>({
    queryKey: ["thread", id, "messages", stamp],
    total: before,
    pageSize: PAGE,
    read,
  });

  if (tail.data === undefined) {
    return <Waiting error={tail.error} retry={tail.refetch} />;
  }
  const count = before + ending.length;
  const at = (index: number) => (index < before ? pages.at(index) : ending[index - before]);
  if (count === 0 && answer.live === null) {
    return (
      <Notice title="This thread has no messages">
        <p>
          Its runs may have ended before they said anything: see its{" "}
          <a href={place.href({ view: "events" })}>events</a>.
        </p>
      </Notice>
    );
  }
  return (
    <div className="conversation">
      {pages.error === null ? null : <Failure error={pages.error} retry={pages.retry} />}
      <VirtualList
        // Another list begins at its end again.
        key={id}
        name="main"
        label="Messages"
        count={count + 1}
        rowHeight={ROW}
        measured
        follows
        rowKey={(index) => (index === count ? "end" : index)}
        onShown={pages.onShown}
        row={(index, control) => {
          if (index === count) return <Ending answer={answer} place={place} />;
          const message = at(index);
          return (
            <div {...control} className="message-row">
              {message === undefined ? (
                <p className="loading">Loading…</p>
              ) : (
                <MessageView message={message} toolName={toolNameOf(index, at)} />
              )}
            </div>
          );
        }}
      />
    </div>
  );
}

/** How the conversation stands: a run executes, or how the last one ended. */
function Ending({ answer, place }: Omit<ViewProps, "live">) {
  const { thread, live: held } = answer;
  const { lastRun } = thread;
  if (held !== null) {
    return (
      <p className="ending" role="status">
        <StatusMark status="running" />{" "}
        <span className="muted">
          {held.runId}
          {held.isAlive ? "" : ", whose process has died: the next claim ends it"}
        </span>
      </p>
    );
  }
  if (lastRun === null || lastRun.outcome === "finished") return <div className="ending" />;
  return (
    <p className="ending">
      <StatusMark status={statusOfRun(lastRun)} />{" "}
      <LastError key={refText(lastRun)} threadId={thread.id} run={lastRun} />{" "}
      <a href={place.href({ ...OTHER_RUN, view: "timeline", run: refText(lastRun) })}>
        Look at the run
      </a>
    </p>
  );
}

function LastError({
  threadId,
  run,
}: {
  readonly threadId: string;
  readonly run: { readonly epoch: number; readonly runId: string };
}) {
  const { data } = useRun(threadId, run);
  const { code, message } = data?.error ?? {};
  return (
    <span>
      {message} {code === null || code === undefined ? null : <code>{code}</code>}
    </span>
  );
}
