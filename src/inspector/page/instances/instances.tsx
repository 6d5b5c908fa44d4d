import "./instances.css";
import { useInfiniteQuery } from "@tanstack/react-query";
import type { HeldThread, HoldersAnswer, RunnerInstance } from "../../api.ts";
import { get } from "../api/client.ts";
import { useDatabase, useHolders, useTotals } from "../api/queries.ts";
import { ago, count, duration, number, size, time } from "../format.ts";
import { OTHER_THREAD, type Place, refText } from "../location.ts";
import { Failure } from "../parts/failure.tsx";
import { Wide } from "../parts/wide.tsx";

/** Who has the database open, which runs hold threads, and what was recovered. */
export function Instances({ place }: { readonly place: Place }) {
  const { data, error, refetch } = useHolders();
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it, whatever is in it.
    <main className="instances" aria-label="Instances" tabIndex={0}>
      {data === undefined && error === null ? <p className="loading">Loading…</p> : null}
      {error === null || data !== undefined ? null : <Failure error={error} retry={refetch} />}
      {data === undefined ? null : (
        <>
          <Processes holders={data} />
          <Held holders={data} place={place} />
          <Queues holders={data} />
        </>
      )}
      <Recovered place={place} />
      <Data />
    </main>
  );
}

function Processes({ holders: { instances, now } }: { readonly holders: HoldersAnswer }) {
  return (
    <section aria-labelledby="processes">
      <h2 id="processes">Instances</h2>
      <Wide label="Instances as a table">
        <table>
          <thead>
            <tr>
              <th scope="col">Instance</th>
              <th scope="col">Process</th>
              <th scope="col">State</th>
              <th scope="col">Last heartbeat</th>
              <th scope="col">Lease</th>
              <th scope="col" className="right">
                Threads held
              </th>
            </tr>
          </thead>
          <tbody>
            {instances.map((instance) => (
              <Process key={instance.id} instance={instance} now={now} />
            ))}
          </tbody>
        </table>
      </Wide>
      {instances.some(({ isOwn }) => !isOwn) ? null : (
        <p className="muted">No server has the database open: only this inspector.</p>
      )}
    </section>
  );
}

function Process({ instance, now }: { readonly instance: RunnerInstance; readonly now: number }) {
  const { id, isOwn, isAlive, host, pid, leaseMs, seenAt, held } = instance;
  const process = [pid === null ? null : `pid ${pid}`, host].filter((part) => part !== null);
  return (
    <tr>
      <th scope="row">
        <code>{id}</code> {isOwn ? <span className="tag">this inspector</span> : null}
      </th>
      <td>
        {process.length === 0 ? <span className="muted">not noted</span> : process.join(" on ")}
      </td>
      <td>
        <span className={`status ${isAlive ? "finished" : "error"}`}>
          {isAlive ? "alive" : "dead, its runs are not all ended"}
        </span>
      </td>
      <td title={time(seenAt)}>{ago(seenAt, now)}</td>
      <td>{duration(leaseMs)}</td>
      <td className="right">{number(held)}</td>
    </tr>
  );
}

interface HeldProps {
  readonly holders: HoldersAnswer;
  readonly place: Place;
}

function Held({ holders: { held, heldTotal, now }, place }: HeldProps) {
  return (
    <section aria-labelledby="held">
      <h2 id="held">
        Threads that a run holds <span className="muted">{number(heldTotal)}</span>
      </h2>
      {held.length === 0 ? (
        <p className="muted">No run executes.</p>
      ) : (
        <Wide label="Threads as a table">
          <table>
            <thead>
              <tr>
                <th scope="col">Thread</th>
                <th scope="col">Run</th>
                <th scope="col">Instance</th>
                <th scope="col">Since</th>
                <th scope="col">State</th>
                <th scope="col" className="right">
                  Journal
                </th>
              </tr>
            </thead>
            <tbody>
              {held.map((each) => (
                <HeldRow
                  key={`${each.threadId} ${refText(each)}`}
                  held={each}
                  {...{ now, place }}
                />
              ))}
            </tbody>
          </table>
        </Wide>
      )}
      {heldTotal > held.length ? (
        <p className="muted">The {number(held.length)} oldest are listed.</p>
      ) : null}
    </section>
  );
}

interface RowProps {
  readonly held: HeldThread;
  readonly now: number;
  readonly place: Place;
}

const STOPS = { none: "", asked: ", told to stop", discard: ", told to stop and keep nothing" };

function HeldRow({ held, now, place }: RowProps) {
  const { threadId, runId, instanceId, isAlive, claimedAt, stop, journal } = held;
  return (
    <tr>
      <th scope="row">
        <a href={place.href({ ...OTHER_THREAD, page: undefined, thread: threadId })}>{threadId}</a>
      </th>
      <td>
        <code>{runId}</code>
      </td>
      <td>
        {instanceId === null ? (
          <span className="muted">of version 1</span>
        ) : (
          <code>{instanceId}</code>
        )}
      </td>
      <td title={time(claimedAt)}>{duration(Math.max(now - claimedAt, 0))}</td>
      <td>
        <span className={`status ${isAlive ? "running" : "error"}`}>
          {isAlive ? "running" : "its process died"}
          {STOPS[stop]}
        </span>
      </td>
      <td className="right">
        {journal === null ? "–" : `${size(journal.bytes)} in ${count(journal.segments, "segment")}`}
      </td>
    </tr>
  );
}

function Queues({ holders: { queue, journals } }: { readonly holders: HoldersAnswer }) {
  return (
    <section aria-labelledby="queues">
      <h2 id="queues">Journals and queue</h2>
      <p>
        Journals: {size(journals.bytes)} in {count(journals.segments, "segment")}
        <span className="muted">
          , those included that are kept for a while for whoever follows a run that has ended.
        </span>
      </p>
      <p>
        Queue of this inspector: {count(queue.depth, "operation")}, {size(queue.bytes)}
        {queue.depth === 0 ? "" : `, the oldest waits for ${duration(queue.lagMs)}`}
        <span className="muted">
          . The queues of servers are in their memory: see <code>runner.stats()</code> there.
        </span>
      </p>
    </section>
  );
}

function Recovered({ place }: { readonly place: Place }) {
  const { data, error, hasNextPage, isFetching, fetchNextPage, refetch } = useInfiniteQuery({
    queryKey: ["recovered"],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      get("api/recovered", pageParam === "" ? {} : { cursor: pageParam }, signal),
    getNextPageParam: ({ nextCursor }) => nextCursor,
  });
  const threads = data?.pages.flatMap((page) => page.threads) ?? [];
  return (
    <section aria-labelledby="recovered">
      <h2 id="recovered">Recovered threads</h2>
      <p className="muted">
        Threads whose last run was ended by another process, because its own had died.
      </p>
      {error === null ? null : <Failure error={error} retry={refetch} />}
      {data !== undefined && threads.length === 0 && !hasNextPage ? <p>None.</p> : null}
      <ul className="recovered">
        {threads.map(({ id, title, lastRun }) => (
          <li key={id}>
            <a href={place.href({ ...OTHER_THREAD, page: undefined, thread: id })}>{title ?? id}</a>{" "}
            <span className="muted">
              {lastRun === null ? "" : `${lastRun.runId}, ${time(lastRun.endedAt)}`}
            </span>
          </li>
        ))}
      </ul>
      {hasNextPage ? (
        <button type="button" disabled={isFetching} onClick={() => void fetchNextPage()}>
          {isFetching ? "Looking…" : "Look further back"}
        </button>
      ) : null}
    </section>
  );
}

function Data() {
  const { data: database } = useDatabase();
  const { data: totals } = useTotals();
  if (database === undefined) return null;
  const { kind, name, version, file } = database;
  const rows: (readonly [string, string])[] = [
    [kind === "sqlite" ? "SQLite file" : "PostgreSQL", name],
    ["Version", version],
  ];
  if (file !== null) {
    rows.push(["Size", `${size(file.bytes)}, of which ${size(file.freeBytes)} are free`]);
    rows.push(["WAL", size(file.walBytes)], ["Schema", String(file.schemaVersion)]);
  }
  if (totals !== undefined) {
    const { threads, archived, running, failed, runs, messages, bytes, tokens } = totals;
    rows.push(
      [
        "Threads",
        `${number(threads)}: ${number(running)} running, ${number(archived)} archived, ${number(failed)} ended with an error`,
      ],
      ["Runs", `${number(runs)} with ${count(messages, "message")}, ${size(bytes)}`],
    );
    if (tokens !== null) {
      rows.push(["Tokens", `${number(tokens.input)} in, ${number(tokens.output)} out`]);
    }
  }
  return (
    <section aria-labelledby="database">
      <h2 id="database">Database</h2>
      <dl className="facts column">
        {rows.map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
