import { sharedLength } from "../../../events/shared/places.ts";
import { spansIn } from "../../../events/shared/span-texts.ts";
import type { FactsRequest, RunOfFacts } from "../../../protocol/compactor-messages.ts";
import { isVisible, type Scope } from "../../../protocol/scope.ts";
import type {
  StoredRunFacts,
  StoredThread,
  ThreadFacts,
} from "../../../protocol/thread-messages.ts";
import type { ForkOrigin, ThreadMetadata } from "../../../protocol/threads.ts";
import { liveRunOf } from "../../../runs/holder.ts";
import { endOfTail, parseFacts, slotsOfFacts, summaryOf } from "../../../runs/thread-facts.ts";
import { bigintArray, textArray } from "../binary-arrays.ts";
import type { Compactor } from "../compactor.ts";
import type { Connection } from "../connection.ts";
import type { Statements, ThreadColumns } from "../statements.ts";
import { fromStored, fromStoredOrNull, toStored } from "../stored-ids.ts";
import { holderOf, threadRowOf } from "../thread-row.ts";
import { readChunks } from "../values/chunks.ts";
import { byKeys } from "./by-keys.ts";
import { type ListedRunColumns, LONG_TAIL } from "./thread-statements.ts";

/** Runs behind the facts of a thread that are read for its summary. */
const MAX_BEHIND = 32;

/** Bytes of such runs that are read for a page of summaries. */
const MAX_BEHIND_BYTES = 4 * 1024 * 1024;

export interface SummaryContext {
  readonly connection: Connection;
  readonly statements: Statements;
  readonly instanceId: string;
  readonly isAlive: (instanceId: string) => boolean;
  readonly expectKnown: (instanceIds: readonly string[]) => Promise<void>;
  readonly compactor: Compactor;
}

interface SummaryColumns extends ThreadColumns {
  /** Milliseconds since the epoch when the row of the thread was made. */
  readonly known_at: number;
  readonly last_agent_id: string | null;
  /** Null, like the columns that follow, where the row in the list is not written yet. */
  readonly archived: boolean | null;
  readonly created_at: number | null;
  readonly updated_at: number | null;
  readonly title: string | null;
  readonly forked_from: string | null;
  readonly metadata: string | null;
  readonly up_to: number | null;
  readonly facts: string | null;
  readonly last_run: number | null;
}

/**
 * The threads of these ids that the scope sees, by id. A thread is missing that is unknown: no run of it is
 * stored, and no live instance holds it.
 */
export async function readSummaries(
  context: SummaryContext,
  ids: readonly string[],
  scope: Scope,
): Promise<Map<string, StoredThread>> {
  const { connection, statements, instanceId, isAlive } = context;
  const { rows } = await connection.use((send) =>
    byKeys(send, statements, statements.summaries, [textArray(ids.map(toStored))]),
  );
  const seen = (rows as SummaryColumns[])
    .map((columns) => ({ columns, row: threadRowOf(columns) }))
    .filter(({ row }) => isVisible(scope, row.resourceId ?? null));
  await context.expectKnown(seen.flatMap(({ row }) => row.claim?.ownerId ?? []));
  const facts = await factsNow(
    context,
    seen.map(({ columns }) => columns),
  );
  const threads = new Map<string, StoredThread>();
  for (const [at, { columns, row }] of seen.entries()) {
    const { title: defaultTitle, ...told } = facts[at] as ThreadFacts;
    const live = liveRunOf(holderOf(row, isAlive), instanceId);
    if (told.runs === 0 && live === null) continue;
    const { last_agent_id, archived, created_at, updated_at, metadata, forked_from } = columns;
    const title = fromStoredOrNull(columns.title);
    const createdAt = created_at ?? columns.known_at;
    threads.set(row.threadId, {
      id: row.threadId,
      title: title ?? defaultTitle,
      isTitled: title !== null,
      agentId: told.lastRun?.agentId ?? fromStoredOrNull(last_agent_id) ?? row.agentId,
      resourceId: row.resourceId ?? null,
      metadata: metadata === null ? {} : (JSON.parse(metadata) as ThreadMetadata),
      archived: archived ?? false,
      createdAt,
      updatedAt: Math.max(updated_at ?? createdAt, told.lastRun?.endedAt ?? 0),
      ...told,
      live,
      forkedFrom: forked_from === null ? null : (JSON.parse(forked_from) as ForkOrigin),
    });
  }
  return threads;
}

/**
 * The facts of threads, with the runs that were stored since they were made. Of many such runs, only the first
 * are read.
 */
async function factsNow(
  context: SummaryContext,
  threads: readonly SummaryColumns[],
): Promise<ThreadFacts[]> {
  const known = threads.map(({ facts }) => parseFacts(facts));
  const behind = threads.flatMap(({ last_run, up_to }, at) =>
    (last_run ?? 0) > (up_to ?? 0) ? [at] : [],
  );
  if (behind.length === 0) return known;
  const { connection, statements, compactor } = context;
  const lagging = behind.map((at) => threads[at] as SummaryColumns);
  const { rows } = await connection.use((send) =>
    byKeys(send, statements, statements.runsBehindFacts, [
      textArray(lagging.map(({ thread_id }) => thread_id)),
      bigintArray(lagging.map(({ up_to }) => up_to ?? 0)),
      MAX_BEHIND,
      MAX_BEHIND_BYTES,
    ]),
  );
  // Later ones may be of another thread, which was made when this one was removed.
  const lastRuns = new Map(lagging.map(({ thread_id, last_run }) => [thread_id, last_run ?? 0]));
  const runs = (rows as ListedRunColumns[]).filter(
    ({ thread_id, epoch }) => epoch <= (lastRuns.get(thread_id) ?? 0),
  );
  const byThread = Map.groupBy(runs, ({ thread_id }) => thread_id);
  const read = await readForFacts(context, lagging, runs);
  const made = await compactor.makeFacts({ threads: read, withWords: false });
  for (const [index, at] of behind.entries()) {
    const thread = threads[at] as SummaryColumns;
    const facts = made[index]?.facts ?? (known[at] as ThreadFacts);
    const lastRead = byThread.get(thread.thread_id)?.at(-1)?.epoch ?? 0;
    known[at] = lastRead === thread.last_run ? facts : await withLastRun(context, thread, facts);
  }
  return known;
}

/** Facts that lack runs, with the number of all runs and the last of them. */
async function withLastRun(
  { connection, statements }: SummaryContext,
  { thread_id, last_run, runs }: SummaryColumns,
  facts: ThreadFacts,
): Promise<ThreadFacts> {
  if (last_run === null) return facts;
  const { rows } = await connection.use((send) =>
    send(statements.runsAfter, [thread_id, last_run - 1, 1, LONG_TAIL]),
  );
  const [last] = rows as ListedRunColumns[];
  if (last?.epoch !== last_run) return facts;
  return { ...facts, runs, lastRun: summaryOf(storedRunOf(last), endOfTail(last.tail)) };
}

export function storedRunOf(row: ListedRunColumns): StoredRunFacts {
  const { run_id, epoch, agent_id, finished_at: endedAt } = row;
  const runId = fromStored(run_id);
  const bytes = row.bytes + sharedLength(row);
  return { runId, epoch, agentId: fromStoredOrNull(agent_id), endedAt, bytes };
}

/** What `Compactor.makeFacts` takes. `rows`: the runs behind the facts of the threads. Ids as they are stored. */
export async function readForFacts(
  { connection, statements }: Pick<SummaryContext, "connection" | "statements">,
  threads: readonly { readonly thread_id: string; readonly facts: string | null }[],
  rows: readonly ListedRunColumns[],
): Promise<FactsRequest["threads"]> {
  const asked = rows.map(({ thread_id, epoch, shared_events }) => ({
    threadId: fromStored(thread_id),
    epoch,
    spans: spansIn(shared_events, slotsOfFacts(shared_events)),
  }));
  const chunks = await connection.use((send) => readChunks(send, statements, asked));
  const byThread = Map.groupBy(rows, ({ thread_id }) => thread_id);
  return threads.map(({ thread_id: id, facts }) => ({
    facts,
    runs: (byThread.get(id) ?? []).map(runOfFacts),
    chunks: chunks.get(fromStored(id)) ?? [],
  }));
}

function runOfFacts(row: ListedRunColumns): RunOfFacts {
  const { events, shared_events, tail } = row;
  return { ...storedRunOf(row), events, shared_events, tail };
}
