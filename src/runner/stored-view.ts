import { setImmediate as nextTask } from "node:timers/promises";
import type { EventLike } from "../events/event.ts";
import { type StoredView, ThreadView } from "../events/view/thread-view.ts";
import type { Scope } from "../protocol/scope.ts";
import type { HistoryCursor, HistoryPage, RunStore } from "../store/run-store.ts";

/** Events that are given within one task at most: what is done with them may take longer than reading them. */
const EVENTS_PER_TASK = 100;

/** All events of the stored runs of a thread, in order. */
export async function* storedEvents(
  store: RunStore,
  threadId: string,
  scope: Scope,
): AsyncGenerator<EventLike, void, undefined> {
  let cursor: HistoryCursor | null = null;
  let sinceTask = 0;
  do {
    const page: HistoryPage = await store.readHistory(threadId, cursor, { scope });
    for (const { events } of page.segments) {
      for (const event of events) {
        // The events of a page are all there: without a pause, whoever asks for them would get them in one task.
        if (sinceTask++ % EVENTS_PER_TASK === 0) await nextTask();
        yield event;
      }
    }
    cursor = page.next;
  } while (cursor !== null);
}

/** What a client of a thread holds after its stored runs. */
export async function readStoredView(
  store: RunStore,
  threadId: string,
  scope: Scope,
): Promise<Pick<StoredView, "messages" | "state">> {
  const page = await store.readHistory(threadId, null, { scope, runs: 1 });
  const end = page.views?.end;
  if (end !== undefined && store.readView !== undefined) return store.readView(threadId, end);
  const view = new ThreadView();
  for await (const event of storedEvents(store, threadId, scope)) view.applyStored(event);
  return view;
}
