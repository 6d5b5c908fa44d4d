import type { PlacesRow, StoredEventsRow, StoredInputRow } from "../../../events/shared/places.ts";
import { spansIn } from "../../../events/shared/span-texts.ts";
import type {
  MovedCursor,
  MovedPage,
  MovedPageRequest,
  MovedPart,
  MovedThread,
} from "../../../protocol/moved-threads.ts";
import { isVisible } from "../../../protocol/scope.ts";
import type { ForkOrigin } from "../../../protocol/threads.ts";
import { endOfTail } from "../../../runs/thread-facts.ts";
import type { Send } from "../connection.ts";
import type { ThreadColumns } from "../statements.ts";
import { fromStored, fromStoredOrNull, toStored } from "../stored-ids.ts";
import { messagesBefore } from "../thread-messages.ts";
import { isKnown, type ThreadRow, threadRowOf } from "../thread-row.ts";
import { readChunks } from "../values/chunks.ts";
import type { RemovalContext } from "./remove-thread.ts";

/** Bytes of runs, without the values that they share, on a page, unless a single run has more. */
const PAGE_BYTES = 256 * 1024;

/** Runs, and packs of messages, that a page has at most. */
const PAGE_RUNS = 200;
const PAGE_PACKS = 50;

interface HeadRow {
  /** Null, like the columns that follow, where the row in the list is not written yet. */
  readonly archived: boolean | null;
  readonly created_at: number | null;
  readonly updated_at: number | null;
  readonly title: string | null;
  readonly forked_from: string | null;
  readonly listed_agent: string | null;
  readonly metadata: string | null;
  readonly first_run: number | null;
  readonly last_run: number | null;
  readonly last_agent: string | null;
  readonly last_end: number | null;
  readonly known_at: number;
  readonly stored_runs: number;
}

interface RunRow extends StoredEventsRow, StoredInputRow {
  readonly epoch: number;
  readonly run_id: string;
  readonly agent_id: string | null;
  readonly finished_at: number;
}

/** The pages of threads for other stores. */
export class ThreadExports {
  readonly #context: RemovalContext;

  constructor(context: RemovalContext) {
    this.#context = context;
  }

  /** Reads in a transaction that keeps runs from being removed, and their values from being swept. */
  read(request: MovedPageRequest): Promise<MovedPage | null> {
    return this.#context.slices.one((send) => this.#read(send, request));
  }

  async #read(
    send: Send,
    { threadId, scope, cursor }: MovedPageRequest,
  ): Promise<MovedPage | null> {
    const { keepThread } = this.#context.statements;
    const { rows } = await send(keepThread, [toStored(threadId)]);
    const [columns] = rows as ThreadColumns[];
    const row = columns === undefined ? null : threadRowOf(columns);
    if (!isKnown(row) || !isVisible(scope, row.resourceId ?? null)) return null;
    if (cursor !== null) return { head: null, ...(await this.#go(send, threadId, cursor)) };
    const head = await this.#head(send, threadId);
    const upToId = head.last_run ?? 0;
    const isShortened = (head.first_run ?? 1) > 1;
    const from = { messagesUpTo: isShortened ? "0" : null, afterId: 0, begun: null, upToId };
    const thread = movedThreadOf(row, head);
    return {
      head: { thread, runs: head.stored_runs },
      ...(await this.#go(send, threadId, from)),
    };
  }

  async #head(send: Send, threadId: string): Promise<HeadRow> {
    const { rows } = await send(this.#context.statements.exportedHead, [toStored(threadId)]);
    return rows[0] as HeadRow;
  }

  async #go(
    send: Send,
    threadId: string,
    from: MovedCursor,
  ): Promise<Pick<MovedPage, "messages" | "parts" | "next">> {
    const { messagesUpTo } = from;
    if (messagesUpTo === null) return { messages: [], ...(await this.#runs(send, threadId, from)) };
    const { exportedMessages } = this.#context.statements;
    const values = [toStored(threadId), Number(messagesUpTo), PAGE_PACKS];
    type Row = { readonly up_to: number; readonly messages: string; readonly first_run: number };
    const rows = (await send(exportedMessages, values)).rows as Row[];
    const messages = rows.flatMap((row) => messagesBefore(row.messages, row.first_run));
    const last = rows.at(-1);
    // Later packs have messages of runs that are stored.
    const isEnd = last === undefined || rows.length < PAGE_PACKS || last.up_to >= last.first_run;
    return { messages, parts: [], next: { ...from, messagesUpTo: isEnd ? null : `${last.up_to}` } };
  }

  /** Whole runs: a long one is in memory anyway once its row is read. */
  async #runs(
    send: Send,
    threadId: string,
    from: MovedCursor,
  ): Promise<Pick<MovedPage, "parts" | "next">> {
    const { statements, compactor } = this.#context;
    const { afterId, upToId } = from;
    const values = [toStored(threadId), afterId, upToId, PAGE_BYTES, PAGE_RUNS];
    const rows = (await send(statements.exportedRuns, values)).rows as RunRow[];
    const spans = rows.flatMap(allSpansIn);
    const read = await readChunks(send, statements, [{ threadId, spans }]);
    const chunks = read.get(threadId) ?? [];
    const parts: MovedPart[] = [];
    for (const row of rows) {
      const { input, events } = await compactor.move({ run: contentOf(row), chunks });
      const { outcome, errorCode } = endOfTail(events.at(-1) ?? null);
      const run = {
        runId: fromStored(row.run_id),
        epoch: row.epoch,
        agentId: fromStoredOrNull(row.agent_id),
        endedAt: row.finished_at,
        ...{ outcome, errorCode, input },
      };
      for (const [at, text] of events.entries()) {
        parts.push({
          run: at === 0 ? run : null,
          events: text,
          isLast: at === events.length - 1,
        });
      }
    }
    const last = rows.at(-1)?.epoch ?? upToId;
    return { parts, next: last >= upToId ? null : { ...from, afterId: last } };
  }
}

function movedThreadOf(row: ThreadRow, head: HeadRow): MovedThread {
  const createdAt = head.created_at ?? head.known_at;
  const { forked_from: origin } = head;
  return {
    threadId: row.threadId,
    resourceId: row.resourceId ?? null,
    agentId: fromStoredOrNull(head.last_agent ?? head.listed_agent) ?? row.agentId,
    title: fromStoredOrNull(head.title),
    archived: head.archived ?? false,
    metadata: head.metadata ?? "{}",
    createdAt,
    updatedAt: Math.max(head.updated_at ?? createdAt, head.last_end ?? 0),
    forkedFrom: origin === null ? null : (JSON.parse(origin) as ForkOrigin),
    epoch: row.epoch,
  };
}

/** What the compactor needs of a row: sending the rest would cost as much. */
function contentOf({ events, shared_events, input, shared_input }: RunRow) {
  return { events, shared_events, input, shared_input };
}

function allSpansIn({ shared_events, shared_input }: PlacesRow) {
  return [...spansIn(shared_events), ...spansIn(shared_input)];
}
