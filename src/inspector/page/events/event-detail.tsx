import { useQuery } from "@tanstack/react-query";
import type { EventItem, RunRef } from "../../api.ts";
import { get } from "../api/client.ts";
import { ofRun } from "../api/queries.ts";
import { size, time } from "../format.ts";
import { type Place, refText } from "../location.ts";
import { CopyButton } from "../parts/copy-button.tsx";
import { Failure } from "../parts/failure.tsx";
import { Json } from "../parts/json.tsx";

interface Props {
  readonly thread: string;
  readonly run: RunRef;
  /** Of the event, in its run. */
  readonly index: number;
  readonly item: EventItem | undefined;
  readonly place: Place;
}

/** An event as JSON. */
export function EventDetail({ thread, run, index, item, place }: Props) {
  const isKnown = item?.event !== null && item?.event !== undefined;
  const { data, error, refetch } = useQuery({
    queryKey: ["thread", thread, "run", refText(run), "event", index],
    queryFn: ({ signal }) =>
      get("api/run/event", { ...ofRun(thread, run), index: String(index) }, signal),
    enabled: !isKnown,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const shown = isKnown ? item : data?.item;
  return (
    <section className="detail" aria-label={`Event ${index}`}>
      <header>
        <h3 className="ellipsis">
          {index}. {shown?.type}
        </h3>
        {shown === undefined ? null : (
          <>
            <span className="muted">{size(shown.bytes)}</span>
            <CopyButton
              text={JSON.stringify(shown.event, null, 2)}
              label="Copy the event as JSON"
            />
          </>
        )}
        <button
          type="button"
          className="plain small"
          aria-label="Close the event"
          onClick={() => place.go({ event: undefined })}
        >
          ✕
        </button>
      </header>
      {error === null || isKnown ? null : <Failure error={error} retry={refetch} />}
      {shown === undefined ? null : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: long events are scrolled by the keyboard.
        <section className="body" tabIndex={0} aria-label="JSON">
          {shown.at === null ? (
            <p className="muted">Its agent gave it no timestamp.</p>
          ) : (
            <p className="muted">{time(shown.at)}</p>
          )}
          <Json key={`${refText(run)} ${index}`} value={shown.event} depth={3} />
        </section>
      )}
    </section>
  );
}
