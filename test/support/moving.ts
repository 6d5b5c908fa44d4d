import {
  EVERY_RESOURCE,
  type EventLike,
  type ExportRecord,
  exportThreads,
  importThreads,
  type ListThreadsQuery,
  type RunRecord,
  type SqliteAgentRunner,
  type ThreadPage,
  withResource,
} from "../../src/index.ts";
import { collect } from "./open-runner.ts";

async function listOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

export async function recordsOf(
  runner: SqliteAgentRunner,
  options: Parameters<typeof exportThreads>[1] = {},
): Promise<ExportRecord[]> {
  return listOf(exportThreads(runner, options));
}

/** Imports everything that another runner has. */
export function moveAll(from: SqliteAgentRunner, to: SqliteAgentRunner) {
  return importThreads(to, exportThreads(from));
}

/** What users, agents and later runs can tell of a thread. */
export async function shownOf(runner: SqliteAgentRunner, threadId: string) {
  return withResource(EVERY_RESOURCE, async () => {
    const summary = await runner.threads.get(threadId);
    const { runs } = await runner.threads.runs(threadId, { limit: 500 });
    const records = await recordsOf(runner, { threadIds: [threadId] });
    const inputs = records
      .filter((record): record is RunRecord => record.type === "run")
      .map(({ input, inputText }) => inputText ?? input);
    const events: EventLike[] = await listOf(runner.threads.events(threadId));
    return {
      summary,
      runs,
      inputs,
      events,
      messages: await runner.threads.messages(threadId),
      state: await runner.threads.state(threadId),
      replay: await collect(runner.connect({ threadId })),
    };
  });
}

/** The ids of all threads, whosever they are. */
export async function allIds(runner: SqliteAgentRunner): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const query: ListThreadsQuery = { cursor, limit: 500 };
    const page: ThreadPage = await withResource(EVERY_RESOURCE, () => runner.threads.list(query));
    for (const { id } of page.threads) ids.push(id);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return ids.toSorted();
}
