import type { ListThreadsQuery, StoreAgentRunner, ThreadSummary } from "../index.ts";

/** Threads that a page has at most. */
const PAGE = 500;

/** All threads of a query, page by page. `signal` ends it with its reason. */
export async function* eachThread(
  runner: StoreAgentRunner,
  query: ListThreadsQuery,
  signal: AbortSignal,
): AsyncGenerator<ThreadSummary, void, undefined> {
  let cursor: string | null = null;
  do {
    const page = await runner.threads.list({ ...query, limit: PAGE, cursor });
    signal.throwIfAborted();
    yield* page.threads;
    cursor = page.nextCursor;
  } while (cursor !== null);
}
