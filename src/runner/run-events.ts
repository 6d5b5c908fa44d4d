import type { EventLike } from "../events/event.ts";
import type { Scope } from "../protocol/scope.ts";
import type { HistoryPage, RunStore } from "../store/run-store.ts";
import type { RunDetails, RunRef } from "../store/thread-store.ts";
import type { ActiveRun } from "./active-run.ts";
import { eventsFrom, noSuchRun } from "./stored-view.ts";

/** A run of this process. */
export type OpenRun = Pick<ActiveRun, "epoch" | "isStored" | "log" | "storedAt">;

export interface RunEventsRequest {
  readonly store: RunStore;
  readonly threadId: string;
  readonly scope: Scope;
  readonly run: RunRef;
  readonly signal?: AbortSignal | undefined;
  readonly openRuns: () => readonly OpenRun[];
}

/** Events of a run of this process that are taken from its log at once. */
const MEMORY_CHUNK = 1000;

/**
 * The first page of a run, and what is known of it.
 *
 * @throws {RunStoreError} `THREADS_UNSUPPORTED`
 */
async function firstPage(
  store: RunStore,
  threadId: string,
  scope: Scope,
  run: RunRef,
): Promise<HistoryPage> {
  const page = await store.readHistory(threadId, null, { scope, run });
  if (page.run === undefined) throw noSuchRun(undefined);
  return page;
}

export async function readRun(
  store: RunStore,
  threadId: string,
  scope: Scope,
  run: RunRef,
): Promise<RunDetails | null> {
  return (await firstPage(store, threadId, scope, run)).run ?? null;
}

/** The events of a stored run, or of one that executes, until it ends. */
export async function* runEvents(
  request: RunEventsRequest,
): AsyncGenerator<EventLike, void, undefined> {
  const { store, threadId, scope, run, openRuns } = request;
  const signal = request.signal ?? new AbortController().signal;
  const first = await firstPage(store, threadId, scope, run);
  if (first.run !== null) {
    for await (const event of eventsFrom(store, { threadId, scope, first })) {
      if (signal.aborted) return;
      yield event;
    }
    return;
  }
  const own = openRuns().find(({ epoch, isStored }) => isStored && epoch === run.epoch);
  if (own !== undefined) {
    yield* eventsOfOpenRun(own, signal);
  } else if (first.live?.epoch === run.epoch) {
    for await (const events of store.follow(threadId, run.epoch, signal)) yield* events;
  }
}

/** As they are stored. */
async function* eventsOfOpenRun(
  run: OpenRun,
  signal: AbortSignal,
): AsyncGenerator<EventLike, void, undefined> {
  const { log } = run;
  let position = 0;
  while (!signal.aborted) {
    const events = log.slice(position, position + MEMORY_CHUNK);
    for (const event of events) yield run.storedAt(position++, event);
    if (events.length > 0) continue;
    if (log.completed) return;
    await nextOf(run, position, signal);
  }
}

/** Resolves when the run has an event at `position`, or has ended, or with the signal. */
function nextOf({ log }: OpenRun, position: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      following.unsubscribe();
      signal.removeEventListener("abort", end);
      resolve();
    };
    signal.addEventListener("abort", end);
    // Not at once: a log that has the event already calls back before it returns.
    const following = log.from(position).subscribe({
      next: () => queueMicrotask(end),
      complete: () => queueMicrotask(end),
    });
  });
}
