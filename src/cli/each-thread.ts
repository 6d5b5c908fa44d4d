import type { ListThreadsQuery, StoreAgentRunner, ThreadSummary } from "../index.ts";

/** Threads that a page has at most. */
const PAGE = 500;

/**
 * All threads of a query, page by page. `signal` ends it with its reason.
 *
 * They come in the order in which they were created, unless the query says otherwise: in that of updates, a thread that is
 * used meanwhile moves to the pages that were read.
 */
export async function* eachThread(
  runner: StoreAgentRunner,
  query: ListThreadsQuery,
  signal: AbortSignal,
): AsyncGenerator<ThreadSummary, void, undefined> {
  let cursor: string | null = null;
  do {
    const page = await runner.threads.list({ order: "created", ...query, limit: PAGE, cursor });
    signal.throwIfAborted();
    yield* page.threads;
    cursor = page.nextCursor;
  } while (cursor !== null);
}
