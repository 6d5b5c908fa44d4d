import { endOf } from "../../../events/run-facts.ts";
import type { Holders, HoldersRequest } from "../../../protocol/holders.ts";
import { isVisible } from "../../../protocol/scope.ts";
import type {
  ListRunsMessage,
  ListRunsRequest,
  ListThreadsMessage,
  ListThreadsRequest,
  ReadThreadMessage,
  ReadThreadRequest,
} from "../../../protocol/thread-messages.ts";
import { lastEventOf, summaryOf } from "../../../runs/thread-facts.ts";
import type { ThreadReads } from "../../queued/backend.ts";
import { bigintArray } from "../binary-arrays.ts";
import type { ThreadColumns } from "../statements.ts";
import { toStored } from "../stored-ids.ts";
import { threadRowOf } from "../thread-row.ts";
import { readHolders } from "./holders.ts";
import { ThreadLists } from "./list-threads.ts";
import { type ListedRunColumns, LONG_TAIL, SHORT_TAIL } from "./thread-statements.ts";
import { readSummaries, type SummaryContext, storedRunOf } from "./thread-summaries.ts";

/** The reads of threads of a `PostgresBackend`. */
export class PostgresThreadReads implements ThreadReads {
  readonly #context: SummaryContext;
  readonly #lists: ThreadLists;

  constructor(context: SummaryContext, schema: string) {
    this.#context = context;
    this.#lists = new ThreadLists(context, schema);
  }

  list(request: ListThreadsRequest): Promise<ListThreadsMessage> {
    return this.#lists.list(request);
  }

  async get({ threadId, scope }: ReadThreadRequest): Promise<ReadThreadMessage> {
    const threads = await readSummaries(this.#context, [threadId], scope);
    return { thread: threads.get(threadId) ?? null };
  }

  async runs({ threadId, scope, after, limit }: ListRunsRequest): Promise<ListRunsMessage> {
    const { connection, statements } = this.#context;
    const id = toStored(threadId);
    const [known, runs] = await connection.use((send) =>
      Promise.all([
        send(statements.threadNow, [id]),
        send(statements.runsAfter, [id, after ?? 0, limit + 1, SHORT_TAIL]),
      ]),
    );
    type Known = ThreadColumns & { readonly last_run: number | null };
    const [columns] = known.rows as Known[];
    const isSeen =
      columns !== undefined && isVisible(scope, threadRowOf(columns).resourceId ?? null);
    if (!isSeen) return { runs: [], next: null };
    // Later ones may be of another thread, which was made when this one was removed.
    const lastRun = columns.last_run ?? 0;
    const rows = (runs.rows as ListedRunColumns[]).filter(({ epoch }) => epoch <= lastRun);
    const listed = rows.slice(0, limit);
    const ends = await this.#lastEventsOf(id, listed);
    const next = rows.length > limit ? (listed.at(-1)?.epoch ?? null) : null;
    return {
      runs: listed.map((row, at) => summaryOf(storedRunOf(row), endOf(ends[at]))),
      next,
    };
  }

  holders(request: HoldersRequest): Promise<Holders> {
    return readHolders(this.#context, request);
  }

  /** The last events of runs. Few are longer than what was read of them. */
  async #lastEventsOf(
    id: string,
    rows: readonly ListedRunColumns[],
  ): Promise<readonly ReturnType<typeof lastEventOf>[]> {
    const { connection, statements } = this.#context;
    const ends = rows.map(({ tail }) => lastEventOf(tail ?? ""));
    const missing = rows.filter((_, at) => ends[at] === undefined).map(({ epoch }) => epoch);
    if (missing.length === 0) return ends;
    const { rows: found } = await connection.use((send) =>
      send(statements.tailsOfRuns, [id, bigintArray(missing), LONG_TAIL]),
    );
    const tails = new Map(
      (found as Pick<ListedRunColumns, "epoch" | "tail">[]).map(({ epoch, tail }) => [epoch, tail]),
    );
    return ends.map((end, at) => end ?? lastEventOf(tails.get(rows[at]?.epoch ?? 0) ?? ""));
  }
}
