import { setImmediate as nextTask } from "node:timers/promises";
import type { EventLike } from "../events/event.ts";
import { type StoredView, ThreadView } from "../events/view/thread-view.ts";
import { RunStoreError } from "../protocol/errors.ts";
import type { Scope } from "../protocol/scope.ts";
import type { HistoryPage, RunStore } from "../store/run-store.ts";
import type { RunRef } from "../store/thread-store.ts";

/** Events that are given within one task at most: what is done with them may take longer than reading them. */
const EVENTS_PER_TASK = 100;

/** All events of the stored runs of a thread, in order. */
export async function* storedEvents(
  store: RunStore,
  threadId: string,
  scope: Scope,
): AsyncGenerator<EventLike, void, undefined> {
  yield* eventsFrom(store, {
    threadId,
    scope,
    first: await store.readHistory(threadId, null, { scope }),
  });
}

/** The events of a history that begins with a page. */
export async function* eventsFrom(
  store: RunStore,
  {
    threadId,
    scope,
    first,
  }: { readonly threadId: string; readonly scope: Scope; readonly first: HistoryPage },
): AsyncGenerator<EventLike, void, undefined> {
  let page: HistoryPage = first;
  let sinceTask = 0;
  for (;;) {
    for (const { events } of page.segments) {
      for (const event of events) {
        // The events of a page are all there: without a pause, whoever asks for them would get them in one task.
        if (sinceTask++ % EVENTS_PER_TASK === 0) await nextTask();
        yield event;
      }
    }
    if (page.next === null) return;
    page = await store.readHistory(threadId, page.next, { scope });
  }
}

/** Why a run is not read. `run`: `HistoryPage.run`. */
export function noSuchRun(run: HistoryPage["run"]): RunStoreError {
  if (run === null) return new RunStoreError("RUN_NOT_FOUND", "the thread has no such stored run");
  return new RunStoreError("THREADS_UNSUPPORTED", "the store of this runner reads no single runs");
}

/** What a client of a thread holds after its stored runs, those behind `after` left out. */
export async function readStoredView(
  store: RunStore,
  threadId: string,
  scope: Scope,
  after?: RunRef,
): Promise<Pick<StoredView, "messages" | "state">> {
  const page = await store.readHistory(threadId, null, { scope, runs: 1, run: after });
  if (after !== undefined && page.run == null) throw noSuchRun(page.run);
  const end = page.views?.end;
  if (end !== undefined && store.readView !== undefined) return store.readView(threadId, end);
  if (after !== undefined) throw noSuchRun(undefined);
  const view = new ThreadView();
  for await (const event of storedEvents(store, threadId, scope)) view.applyStored(event);
  return view;
}
