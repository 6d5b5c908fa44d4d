import type { Database } from "better-sqlite3";
import type {
  ListRunsMessage,
  ListRunsRequest,
  ListThreadsMessage,
  ListThreadsRequest,
  ReadThreadMessage,
  ReadThreadRequest,
} from "../../../src/protocol/thread-messages.ts";
import { isThreadVisible } from "../instances/ownership.ts";
import type { OwnerStatements } from "../instances/statements.ts";
import type { ValueReader } from "../values/read-values.ts";
import { ThreadLists } from "./list-threads.ts";
import { summaryOfRow } from "./thread-facts.ts";
import { type SummaryContext, summaryOfThread } from "./thread-summaries.ts";

export interface ThreadReadContext extends SummaryContext {
  readonly db: Database;
  readonly statements: SummaryContext["statements"] &
    Pick<OwnerStatements, "resourceOfThread" | "unfinishedThread">;
}

/** Answers the reads of threads, in a reader or in the writer of a database in memory. */
export class ThreadReader {
  readonly #context: ThreadReadContext;
  readonly #values: ValueReader;
  readonly #lists: ThreadLists;

  constructor(context: ThreadReadContext, values: ValueReader) {
    this.#context = context;
    this.#values = values;
    this.#lists = new ThreadLists(context.db, (threadId) =>
      summaryOfThread(context, values, threadId),
    );
  }

  list(request: ListThreadsRequest): ListThreadsMessage {
    return this.#lists.list(request);
  }

  get({ threadId, scope }: ReadThreadRequest): ReadThreadMessage {
    const read = this.#context.db.transaction(() =>
      isThreadVisible(this.#context.statements, threadId, scope)
        ? summaryOfThread(this.#context, this.#values, threadId)
        : null,
    );
    return { thread: read() };
  }

  runs({ threadId, scope, after, limit }: ListRunsRequest): ListRunsMessage {
    const { statements } = this.#context;
    if (!isThreadVisible(statements, threadId, scope)) return { runs: [], next: null };
    const rows = statements.runsAfter.all(threadId, after ?? 0, limit + 1);
    const listed = rows.slice(0, limit);
    const next = rows.length > limit ? (listed.at(-1)?.id ?? null) : null;
    return { runs: listed.map((row) => summaryOfRow(row)), next };
  }
}
