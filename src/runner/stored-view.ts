import type { EventLike } from "../events/event.ts";
import { type StoredView, ThreadView } from "../events/view/thread-view.ts";
import type { Scope } from "../protocol/scope.ts";
import type { HistoryCursor, HistoryPage, RunStore } from "../store/run-store.ts";

/** All events of the stored runs of a thread, in order. */
export async function* storedEvents(
  store: RunStore,
  threadId: string,
  scope: Scope,
): AsyncGenerator<EventLike, void, undefined> {
  let cursor: HistoryCursor | null = null;
  do {
    const page: HistoryPage = await store.readHistory(threadId, cursor, { scope });
    for (const { events } of page.segments) yield* events;
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
