import type { Database } from "better-sqlite3";
import type { MessageDigest } from "../../../src/events/message-digests.ts";
import type {
  MovedCursor,
  MovedPage,
  MovedPageMessage,
  MovedPageRequest,
  MovedPart,
  MovedRunEnd,
  MovedRunHead,
  MovedThread,
} from "../../../src/protocol/moved-threads.ts";
import type { ForkOrigin } from "../../../src/protocol/threads.ts";
import { movedEvents } from "../../../src/runs/moved-run.ts";
import { isThreadVisible } from "../instances/ownership.ts";
import type { RunRow, ThreadRow } from "../threads/statements.ts";
import { summaryOfRow } from "../threads/thread-facts.ts";
import type { ValueReader } from "../values/read-values.ts";
import type { StoredEventsRow, StoredInputRow } from "../values/statements.ts";
import type { ReaderContext } from "./reader-context.ts";

/** UTF-16 units of JSON on a page, unless a single text is longer. */
const PAGE_LENGTH = 256 * 1024;

/** Rows that a page reads at most. */
const PAGE_ROWS = 200;

/** Messages on a page. */
const PAGE_MESSAGES = 2000;

function prepareMovedStatements(db: Database) {
  return {
    // No row for a thread that knows no other messages than those in its runs: the first of these was its first.
    knowsMore: db
      .prepare<[string], number>(
        `SELECT 1 FROM threads WHERE thread_id = ? AND messages_stale = 0
           AND (runs_removed = 1 OR forked_from IS NOT NULL)
           AND (SELECT epoch FROM agent_runs WHERE agent_runs.thread_id = threads.thread_id
             ORDER BY id LIMIT 1) IS NOT 1`,
      )
      .pluck(),
    messagesAfter: db.prepare<[string, string, number], MessageRow>(
      `SELECT message_id, coalesce(digest, 0) AS digest FROM thread_messages
       WHERE thread_id = ? AND message_id > ? ORDER BY message_id LIMIT ?`,
    ),
    lastEpoch: db
      .prepare<[string], number | null>("SELECT max(epoch) FROM agent_runs WHERE thread_id = ?")
      .pluck(),
    runsUpTo: db
      .prepare<[string, number], number>(
        "SELECT count(*) FROM agent_runs WHERE thread_id = ? AND id <= ?",
      )
      .pluck(),
    contentOfRun: db.prepare<[number], StoredEventsRow & StoredInputRow>(
      "SELECT events, shared_events, input, shared_input FROM agent_runs WHERE id = ?",
    ),
  };
}

interface MessageRow {
  readonly message_id: string;
  readonly digest: number;
}

/** A row as the pages tell it. */
interface CutRow {
  readonly id: number;
  readonly head: MovedRunHead & MovedRunEnd;
  readonly chunks: readonly string[];
}

/** The pages of a thread for another store. */
export class MovedThreads {
  readonly #context: ReaderContext;
  readonly #values: ValueReader;
  readonly #statements: ReturnType<typeof prepareMovedStatements>;
  /** A row that fills several pages. */
  #longRow: CutRow | null = null;

  constructor(context: ReaderContext, values: ValueReader) {
    this.#context = context;
    this.#values = values;
    this.#statements = prepareMovedStatements(context.db);
  }

  read(request: MovedPageRequest): MovedPageMessage {
    return { page: this.#context.db.transaction(() => this.#read(request))() };
  }

  #read({ threadId, scope, cursor }: MovedPageRequest): MovedPage | null {
    const { statements } = this.#context;
    const row = statements.thread.get(threadId);
    if (row === undefined || !isThreadVisible(statements, threadId, scope)) return null;
    if (cursor !== null) return { head: null, ...this.#go(threadId, cursor) };
    const upToId = statements.lastRowOfThread.get(threadId) ?? 0;
    const runs = this.#statements.runsUpTo.get(threadId, upToId) ?? 0;
    const messagesUpTo = this.#statements.knowsMore.get(threadId) === undefined ? null : "";
    const from = { messagesUpTo, afterId: 0, begun: null, upToId };
    return { head: { thread: this.#headOf(row), runs }, ...this.#go(threadId, from) };
  }

  #headOf(row: ThreadRow): MovedThread {
    const { statements } = this.#context;
    const { thread_id: threadId } = row;
    const lastRun = statements.lastRun.get(threadId);
    const claimed = statements.stateOfThread.get(threadId)?.epoch ?? 0;
    return {
      threadId,
      resourceId: row.resource_id,
      agentId: lastRun?.agent_id ?? row.agent_id,
      title: row.title,
      archived: row.archived === 1,
      metadata: row.metadata ?? "{}",
      createdAt: row.created_at,
      updatedAt: Math.max(row.updated_at, row.state_at ?? 0, lastRun?.created_at ?? 0),
      forkedFrom: row.forked_from === null ? null : (JSON.parse(row.forked_from) as ForkOrigin),
      epoch: Math.max(claimed, this.#statements.lastEpoch.get(threadId) ?? 0),
    };
  }

  #go(threadId: string, from: MovedCursor): Pick<MovedPage, "messages" | "parts" | "next"> {
    const { messagesUpTo } = from;
    if (messagesUpTo === null) return { messages: [], ...this.#runs(threadId, from) };
    const rows = this.#statements.messagesAfter.all(threadId, messagesUpTo, PAGE_MESSAGES);
    const messages = rows.map(({ message_id, digest }): MessageDigest => [message_id, digest]);
    const last = rows.length === PAGE_MESSAGES ? (rows.at(-1)?.message_id ?? null) : null;
    return { messages, parts: [], next: { ...from, messagesUpTo: last } };
  }

  #runs(threadId: string, { begun, ...from }: MovedCursor): Pick<MovedPage, "parts" | "next"> {
    const parts: MovedPart[] = [];
    let length = 0;
    let { afterId } = from;
    let chunk = begun?.chunks ?? 0;
    for (const row of this.#context.statements.runsAfter.iterate(threadId, afterId, PAGE_ROWS)) {
      const isGone = begun !== null && afterId === from.afterId && row.id !== begun.row;
      if (row.id > from.upToId || isGone) return { parts, next: null };
      const { head, chunks } = this.#cut(row);
      for (; chunk < chunks.length; chunk++) {
        const events = chunks[chunk] ?? "[]";
        const run = chunk === 0 ? head : null;
        const added = events.length + (run?.input.length ?? 0);
        if (length > 0 && length + added > PAGE_LENGTH) {
          const next = chunk === 0 ? null : { row: row.id, chunks: chunk };
          return { parts, next: { ...from, afterId, begun: next } };
        }
        length += added;
        parts.push({ run, events, isLast: chunk === chunks.length - 1 });
      }
      this.#longRow = null;
      afterId = row.id;
      chunk = 0;
    }
    const isEnd = afterId === from.afterId || afterId >= from.upToId;
    return { parts, next: isEnd ? null : { ...from, afterId, begun: null } };
  }

  #cut(row: RunRow): CutRow {
    if (this.#longRow?.id === row.id) return this.#longRow;
    const content = this.#statements.contentOfRun.get(row.id);
    if (content === undefined) throw new Error("a row is gone within a transaction");
    const { runId, epoch, agentId, endedAt, outcome, errorCode } = summaryOfRow(row);
    const input = this.#values.inputOf(content);
    const each = content.shared_events === null ? null : this.#values.eachEventOf(content);
    const chunks = movedEvents(content.events, each);
    const head = { runId, epoch, agentId, endedAt, outcome, errorCode, input };
    this.#longRow = { id: row.id, head, chunks };
    return this.#longRow;
  }
}
